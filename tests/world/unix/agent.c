/* An agent for packages: a foreground program that answers every HTTP request on 127.0.0.1:PORT with `ok VERSION`; the version is
 * read anew each time from version.txt, in the program's directory or in the one above.
 *
 *   agent [--port N] [--log FILE] [--fail] [--silent] [--daemon] [WORD...]
 *
 * --fail: ends at once with 3; --silent: runs and does not listen; --daemon: goes to the background, out of its session. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *program, *log_file;

static void version(char *text, int size)
{
    char path[4096];
    FILE *file = NULL;
    int up;

    for (up = 0; up < 2 && !file; up++) {
        char *slash;

        snprintf(path, sizeof path - 20, "%s", program);
        slash = strrchr(path, '/');
        strcpy(slash ? slash + 1 : path, up ? "../version.txt" : "version.txt");
        file = fopen(path, "r");
    }
    if (!file || !fgets(text, size, file))
        snprintf(text, size, "unknown");
    if (file)
        fclose(file);
    text[strcspn(text, "\r\n")] = 0;
}

static void note(const char *words)
{
    FILE *file = log_file ? fopen(log_file, "a") : NULL;
    char text[64];

    version(text, sizeof text);
    fprintf(file ? file : stdout, "%s %s pid %d\n", words, text, (int)getpid());
    fflush(stdout);
    if (file)
        fclose(file);
}

static void stop(int number)
{
    (void)number;
    note("stopped");
    _exit(0);
}

static int serve(int port)
{
    struct sockaddr_in address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, client;
    char request[4096], text[64], answer[256];

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 16)) {
        note("cannot listen");
        return 4;
    }
    note("started");
    while ((client = accept(listener, NULL, NULL)) >= 0) {
        if (read(client, request, sizeof request) > 0) {
            version(text, sizeof text);
            snprintf(answer, sizeof answer,
                     "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\nok %s\n",
                     (int)strlen(text) + 4, text);
            (void)!write(client, answer, strlen(answer));
        }
        close(client);
    }
    return 5;
}

int main(int count, char **words)
{
    int port = 8080, i, silent = 0, daemonic = 0;

    program = words[0];
    for (i = 1; i < count; i++) {
        if (!strcmp(words[i], "--port") && i + 1 < count)
            port = atoi(words[++i]);
        else if (!strcmp(words[i], "--log") && i + 1 < count)
            log_file = words[++i];
        else if (!strcmp(words[i], "--silent"))
            silent = 1;
        else if (!strcmp(words[i], "--daemon"))
            daemonic = 1;
        else if (!strcmp(words[i], "--fail")) {
            note("failed");
            return 3;
        }
    }
    if (daemonic) {
        if (fork())
            return 0;
        setsid();
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    if (!silent)
        return serve(port);
    note("silent");
    for (;;)
        pause();
}
