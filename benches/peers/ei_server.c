/* A C node on libei that does what benches/node_server.rs does: {echo, X} is answered with X, `count` with the number of casts.
 * One thread, blocking, one peer at a time; libei offers no process monitors, so there are none.
 *
 * ei_server NAME HOST COOKIE
 */
#include <ei.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if !__GLIBC_PREREQ(2, 38)
/* Debian's libei was built against a newer libc than this machine's, which has these by their older names only. */
#include <stdarg.h>
long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
int __isoc23_sscanf(const char *text, const char *format, ...) {
    va_list arguments;
    int read;
    va_start(arguments, format);
    read = vsscanf(text, format, arguments);
    va_end(arguments);
    return read;
}
#endif

static void fail(const char *what) {
    fprintf(stderr, "ei_server: %s\n", what);
    exit(1);
}

/* Reads a message that was made by gen; sends the answer of a call. */
static int handle(int fd, const ei_x_buff *in, ei_x_buff *out, long *casts) {
    int index = 0, version, arity, tag_start, tag_end, value_start;
    char atom[MAXATOMLEN_UTF8];
    erlang_pid from;
    if (ei_decode_version(in->buff, &index, &version) || ei_decode_tuple_header(in->buff, &index, &arity) ||
        ei_decode_atom(in->buff, &index, atom))
        return 0;
    if (arity == 2 && !strcmp(atom, "$gen_cast")) {
        ++*casts;
        return 0;
    }
    if (arity != 3 || strcmp(atom, "$gen_call") || ei_decode_tuple_header(in->buff, &index, &arity) || arity != 2 ||
        ei_decode_pid(in->buff, &index, &from))
        return 0;
    tag_start = index;
    if (ei_skip_term(in->buff, &index)) return 0;
    tag_end = index;
    out->index = 0;
    ei_x_encode_version(out);
    ei_x_encode_tuple_header(out, 2);
    ei_x_append_buf(out, in->buff + tag_start, tag_end - tag_start);
    if (!ei_decode_tuple_header(in->buff, &index, &arity)) {
        if (ei_skip_term(in->buff, &index)) return 0;
        value_start = index;
        if (ei_skip_term(in->buff, &index)) return 0;
        ei_x_append_buf(out, in->buff + value_start, index - value_start);
    } else {
        ei_x_encode_long(out, *casts);
    }
    return ei_send(fd, &from, out->buff, out->index);
}

static void serve(int fd) {
    ei_x_buff in, out;
    erlang_msg message;
    long casts = 0;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ei_x_new(&in);
    ei_x_new(&out);
    for (;;) {
        int got;
        in.index = 0;
        got = ei_xreceive_msg(fd, &message, &in);
        if (got == ERL_TICK) continue;
        if (got == ERL_ERROR) break;
        if ((message.msgtype == ERL_REG_SEND || message.msgtype == ERL_SEND) && handle(fd, &in, &out, &casts)) break;
    }
    ei_x_free(&in);
    ei_x_free(&out);
    close(fd);
}

int main(int argc, char **argv) {
    ei_cnode node;
    ErlConnect peer;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    char full[MAXNODELEN + 1];
    int listener;
    if (argc != 4) fail("usage: ei_server NAME HOST COOKIE");
    snprintf(full, sizeof full, "%s@%s", argv[1], argv[2]);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (ei_init() || ei_connect_xinit(&node, argv[2], argv[1], full, &address.sin_addr, argv[3], 1) < 0)
        fail("cannot start a node");
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 5) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        fail("cannot listen");
    if (ei_publish(&node, ntohs(address.sin_port)) < 0) fail("the port mapper does not take the name");
    puts("serving");
    fflush(stdout);
    for (;;) {
        int fd = ei_accept(&node, listener, &peer);
        if (fd >= 0) serve(fd);
    }
}
