/* A sorted list of events, and a loop that looks at the clock every millisecond.
 * The argument is how many milliseconds a second has; 1000 if it is left out. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct event {
    long due_ms;
    void (*call)(void);
    struct event *next;
};

static struct event *queue;
static long began_ms, second_ms = 1000;

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say(const char *what) {
    printf("%ld s: %s\n", (now_ms() - began_ms) / second_ms, what);
}

static struct event *after(long seconds, void (*call)(void)) {
    struct event *event = malloc(sizeof *event), **place = &queue;
    event->due_ms = now_ms() + seconds * second_ms;
    event->call = call;
    while (*place && (*place)->due_ms <= event->due_ms)
        place = &(*place)->next;
    event->next = *place;
    return *place = event;
}

static void take_back(struct event *event) {
    struct event **place = &queue;
    while (*place != event)
        place = &(*place)->next;
    *place = event->next;
    free(event);
}

static void first(void) { say("the first event"); }
static void second(void) { say("the second event"); }
static void nobody(void) { say("taken back, so nobody reads this"); }

int main(int argc, char **argv) {
    if (argc > 1)
        second_ms = atol(argv[1]);
    began_ms = now_ms();
    say("three events are queued");
    after(4, second);
    after(2, first);
    take_back(after(3, nobody));

    while (queue) {
        while (queue && queue->due_ms <= now_ms()) {
            struct event *event = queue;
            queue = event->next;
            event->call();
            free(event);
        }
        usleep(1000);
    }
    say("the queue is empty");
    return 0;
}
