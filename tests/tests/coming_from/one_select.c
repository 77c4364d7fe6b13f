/* Waits for a socket, a file, a timer, a signal and a child process, as well as POSIX can: handlers set
 * flags, all signals are blocked but inside of `pselect`, and each turn of the loop looks at each flag.
 * Arguments: a file. Prints what the example one_select prints. */
#include <aio.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t read_is_done, time_is_up, user_signal, child_has_ended;

static void handler(int number) {
    if (number == SIGIO) read_is_done = 1;
    if (number == SIGALRM) time_is_up = 1;
    if (number == SIGUSR1) user_signal = 1;
    if (number == SIGCHLD) child_has_ended = 1;
}

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(2);
    }
}

static int listen_anywhere(void) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    check(listener, "socket");
    check(bind(listener, (struct sockaddr *)&addr, length), "bind");
    check(listen(listener, SOMAXCONN), "listen");
    check(getsockname(listener, (struct sockaddr *)&addr, &length), "getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    return listener;
}

int main(int argc, char **argv) {
    const int signals[] = {SIGIO, SIGALRM, SIGUSR1, SIGCHLD};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval timer = {.it_value.tv_usec = 50000};
    sigset_t blocked, before;
    struct aiocb request = {0};
    struct stat status;
    char text[1025], child_text[1025] = "";
    int listener, client = -1, file, pipes[2], left = 5;
    pid_t child;

    if (argc < 2)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Blocked everywhere but in pselect, or one that comes between a look and the wait is missed. */
    sigemptyset(&blocked);
    for (int i = 0; i < 4; i++) {
        sigaddset(&blocked, signals[i]);
        check(sigaction(signals[i], &action, NULL), "sigaction");
    }
    check(sigprocmask(SIG_BLOCK, &blocked, &before), "sigprocmask");
    listener = listen_anywhere();

    file = open(argv[1], O_RDONLY);
    check(file, argv[1]);
    check(fstat(file, &status), "fstat");
    request.aio_fildes = file;
    request.aio_nbytes = status.st_size;
    request.aio_buf = malloc(status.st_size + 1);
    request.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    request.aio_sigevent.sigev_signo = SIGIO;
    check(aio_read(&request), "aio_read");
    check(setitimer(ITIMER_REAL, &timer, NULL), "setitimer");
    check(pipe(pipes), "pipe");
    child = fork();
    check(child, "fork");
    if (child == 0) {
        dup2(pipes[1], 1);
        close(pipes[0]);
        close(pipes[1]);
        execlp("sh", "sh", "-c", "echo hello", (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);

    while (left > 0) {
        fd_set ready;
        int wait_for = client >= 0 ? client : listener;
        FD_ZERO(&ready);
        if (wait_for != -1)
            FD_SET(wait_for, &ready);
        if (pselect(wait_for + 1, &ready, NULL, NULL, NULL, &before) < 0) {
            if (errno != EINTR)
                check(-1, "pselect");
            FD_ZERO(&ready); /* its content is undefined now */
        }
        if (read_is_done && aio_error(&request) != EINPROGRESS) {
            ssize_t bytes = aio_return(&request);
            check(bytes, "aio_return");
            printf("file: %zd bytes\n", bytes);
            read_is_done = 0, left--;
        }
        if (time_is_up) {
            printf("timer: 50 ms are over\n");
            time_is_up = 0, left--;
        }
        if (user_signal) {
            printf("signal: SIGUSR1\n");
            user_signal = 0, left--;
        }
        if (child_has_ended) {
            int ended;
            check(waitpid(child, &ended, 0), "waitpid");
            ssize_t length = read(pipes[0], child_text, sizeof child_text - 1);
            check(length, "read");
            printf("child: \"%.*s\\n\", exit status: %d\n", (int)strcspn(child_text, "\n"), child_text,
                   WEXITSTATUS(ended));
            child_has_ended = 0, left--;
        }
        if (listener != -1 && FD_ISSET(listener, &ready)) {
            client = accept(listener, NULL, NULL);
            check(client, "accept");
            close(listener);
            listener = -1;
        } else if (client >= 0 && FD_ISSET(client, &ready)) {
            ssize_t length = read(client, text, sizeof text - 1);
            check(length, "read");
            printf("socket: \"%.*s\"\n", (int)length, text);
            close(client);
            client = -1, left--;
        }
    }
    return 0;
}
