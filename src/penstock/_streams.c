/* Stream sockets whose recv and send cost less than those of Python's `socket`.

Python's `recv` allocates what it is asked for and shrinks it to what came, and both calls give the
interpreter's lock up and take it again. Here what comes is received into one buffer and copied out,
and the lock is kept: neither call ever waits (MSG_DONTWAIT). What that saves: docs/adr/stream-sockets.md.

All else is Python's `socket`, whose type this is a subclass of. Its descriptor is read where CPython
keeps it, right behind the object's head; the import fails where it is found not to be there.
*/
#define _GNU_SOURCE /* accept4 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ROOM = 65536,       /* what a worker reads at once at most: READ_BYTES of io/connection.py */
    LITTLE_BYTES = 16384, /* beyond it, copying out costs more than shrinking */
};

typedef struct {
    PyObject_HEAD
    int fd;
} SocketHead; /* how CPython's PySocketSockObject begins */

/* Several interpreters would share it, but each call is done with it before it gives up the lock. */
static char room[ROOM];
static PyTypeObject *plain; /* Python's `socket` */
static Py_ssize_t tail;     /* where our part of the object begins */

/* Whether the last recv brought much: then the next one is likely to as well. */
static char *brings_much(PyObject *self) { return (char *)self + tail; }

static int fd_of(PyObject *self) { return ((SocketHead *)self)->fd; }

static PyObject *receive(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "recv takes a number of bytes, and flags");
        return NULL;
    }
    Py_ssize_t most = PyLong_AsSsize_t(args[0]);
    long flags = count == 2 ? PyLong_AsLong(args[1]) : 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (most < 0) {
        PyErr_SetString(PyExc_ValueError, "recv takes a number of bytes that is not negative");
        return NULL;
    }
    int direct = most > ROOM || *brings_much(self);
    PyObject *made = NULL;
    char *into = room;
    if (direct) {
        made = PyBytes_FromStringAndSize(NULL, most);
        if (made == NULL) {
            return NULL;
        }
        into = PyBytes_AS_STRING(made);
    }
    ssize_t got;
    do {
        got = recv(fd_of(self), into, (size_t)most, (int)flags | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    if (got < 0) {
        int error = errno;
        Py_XDECREF(made);
        if (!PyErr_Occurred()) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        return NULL;
    }
    *brings_much(self) = got > LITTLE_BYTES;
    if (!direct) {
        return PyBytes_FromStringAndSize(room, got);
    }
    if (got != most) {
        _PyBytes_Resize(&made, got);
    }
    return made;
}

static PyObject *transmit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "send takes bytes, and flags");
        return NULL;
    }
    long flags = count == 2 ? PyLong_AsLong(args[1]) : 0;
    Py_buffer data;
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    ssize_t sent;
    do {
        sent = send(fd_of(self), data.buf, (size_t)data.len, (int)flags | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    int error = errno;
    PyBuffer_Release(&data);
    if (sent < 0) {
        if (!PyErr_Occurred()) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        return NULL;
    }
    return PyLong_FromSsize_t(sent);
}

/* Host and port of whom was accepted; who comes to a socket file is on this machine, and has its
   address. */
static PyObject *accepted(int fd, const struct sockaddr_storage *address) {
    char host[INET6_ADDRSTRLEN] = "127.0.0.1";
    int port = 0;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        port = ntohs(v4->sin_port);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        port = ntohs(v6->sin6_port);
    }
    PyObject *made = Py_BuildValue("(iisi)", fd, (int)address->ss_family, host, port);
    if (made == NULL) {
        close(fd);
    }
    return made;
}

static PyObject *accept_one(PyObject *module, PyObject *listening) {
    int from = PyObject_AsFileDescriptor(listening);
    if (from < 0) {
        return NULL;
    }
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    int fd;
    do {
        length = sizeof(address);
        fd = accept4(from, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    if (fd >= 0) {
        return accepted(fd, &address);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (errno == EAGAIN) { /* no exception: most calls end here */
        Py_RETURN_NONE;
    }
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyMethodDef functions[] = {
    {"accept", accept_one, METH_O,
     PyDoc_STR("accept(listening)\n--\n\nThe descriptor, family, host and port of a client that waits, or None.\n\n"
               "The listening socket must not block.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"recv", (PyCFunction)(void (*)(void))receive, METH_FASTCALL,
     PyDoc_STR("recv(most, flags=0)\n--\n\nAs socket.recv; never waits.")},
    {"send", (PyCFunction)(void (*)(void))transmit, METH_FASTCALL,
     PyDoc_STR("send(data, flags=0)\n--\n\nAs socket.send; never waits.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_methods, methods},
    {Py_tp_doc, PyDoc_STR("A non-blocking stream socket.")},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "penstock._streams.StreamSocket",
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

/* Whether a socket's descriptor is where we look for it. */
static int is_as_expected(void) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return 0;
    }
    close(fds[1]);
    PyObject *made = PyObject_CallFunction((PyObject *)plain, "iiii", AF_UNIX, SOCK_STREAM, 0, fds[0]);
    if (made == NULL) {
        close(fds[0]);
        return 0;
    }
    int found = plain->tp_basicsize >= (Py_ssize_t)sizeof(SocketHead) && fd_of(made) == fds[0];
    PyObject *closed = PyObject_CallMethod(made, "close", NULL);
    found = found && closed != NULL && fd_of(made) == -1;
    Py_XDECREF(closed);
    Py_DECREF(made);
    if (!found && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ImportError, "sockets are not laid out as in the CPython we know");
    }
    return found;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._streams",
    .m_doc = "Stream sockets that cost less.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__streams(void) {
    PyObject *sockets = PyImport_ImportModule("_socket");
    if (sockets == NULL) {
        return NULL;
    }
    plain = (PyTypeObject *)PyObject_GetAttrString(sockets, "socket");
    Py_DECREF(sockets);
    if (plain == NULL || !is_as_expected()) {
        return NULL;
    }
    tail = plain->tp_basicsize;
    spec.basicsize = (int)tail + (int)sizeof(void *); /* tp_alloc zeroes it */
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module != NULL ? PyType_FromSpecWithBases(&spec, (PyObject *)plain) : NULL;
    if (type == NULL || PyModule_AddObject(module, "StreamSocket", type) < 0) {
        Py_XDECREF(type);
        Py_CLEAR(module);
    }
    return module;
}
