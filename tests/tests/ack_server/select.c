/* The server that people write first: one thread, `select`, 1024 bytes per read, `ACK` for each. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what) {
    perror(what);
    return 2;
}

int main(void) {
    struct sockaddr_in addr;
    socklen_t addr_length = sizeof addr;
    char buffer[1024];
    fd_set open_files;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int highest = listener;

    signal(SIGPIPE, SIG_IGN);
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0)
        return fail("bind");
    if (listen(listener, SOMAXCONN) < 0)
        return fail("listen");
    if (getsockname(listener, (struct sockaddr *)&addr, &addr_length) < 0)
        return fail("getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);

    FD_ZERO(&open_files);
    FD_SET(listener, &open_files);
    for (;;) {
        fd_set ready = open_files;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0)
            return fail("select");
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0)
                    return fail("accept");
                FD_SET(client, &open_files);
                if (client > highest)
                    highest = client;
            } else if (read(fd, buffer, sizeof buffer) <= 0 || write(fd, "ACK\n", 4) != 4) {
                FD_CLR(fd, &open_files);
                close(fd);
            }
        }
    }
}
