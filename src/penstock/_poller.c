/* epoll at less cost than Python's `select.epoll`: its methods, and what they return.

Python's `poll` allocates room for all that could come each time, builds each tuple by a format, and
all its calls give the interpreter's lock up and take it again. Here the room is the poller's own,
and only a wait gives the lock up: to register and the like never waits. What that saves:
docs/adr/stream-sockets.md.
*/
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ROOM = 256 }; /* events taken from the kernel at once at most: _BATCH of io/loop.py */

typedef struct {
    PyObject_HEAD
    int fd;
    struct epoll_event room[ROOM];
} Poller;

static PyObject *error_of(int error) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *poller_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Poller *self = (Poller *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0) {
        int error = errno;
        Py_DECREF(self);
        return error_of(error);
    }
    return (PyObject *)self;
}

static void poller_dealloc(Poller *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->fd >= 0) {
        close(self->fd);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* Of `register`, `modify` and `unregister`: the last has no events. */
static PyObject *control(Poller *self, PyObject *const *args, Py_ssize_t count, int operation,
                         Py_ssize_t wanted) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "takes %zd arguments", wanted);
        return NULL;
    }
    long fd = PyLong_AsLong(args[0]);
    long events = wanted == 2 ? PyLong_AsLong(args[1]) : 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    struct epoll_event event = {.events = (uint32_t)events, .data.fd = (int)fd};
    if (epoll_ctl(self->fd, operation, (int)fd, &event) < 0) {
        return error_of(errno);
    }
    Py_RETURN_NONE;
}

static PyObject *poller_register(Poller *self, PyObject *const *args, Py_ssize_t count) {
    return control(self, args, count, EPOLL_CTL_ADD, 2);
}

static PyObject *poller_modify(Poller *self, PyObject *const *args, Py_ssize_t count) {
    return control(self, args, count, EPOLL_CTL_MOD, 2);
}

static PyObject *poller_unregister(Poller *self, PyObject *const *args, Py_ssize_t count) {
    return control(self, args, count, EPOLL_CTL_DEL, 1);
}

/* (descriptor, events), or NULL. */
static PyObject *pair_of(const struct epoll_event *event) {
    PyObject *pair = PyTuple_New(2);
    if (pair == NULL) {
        return NULL;
    }
    PyObject *fd = PyLong_FromLong(event->data.fd);
    PyObject *events = PyLong_FromUnsignedLong(event->events);
    if (fd == NULL || events == NULL) {
        Py_XDECREF(fd);
        Py_XDECREF(events);
        Py_DECREF(pair);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, fd);
    PyTuple_SET_ITEM(pair, 1, events);
    return pair;
}

static PyObject *poller_poll(Poller *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "poll takes a time in seconds, and a number of events");
        return NULL;
    }
    double timeout_s = PyFloat_AsDouble(args[0]);
    long most = PyLong_AsLong(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (most < 1 || most > ROOM) {
        PyErr_Format(PyExc_ValueError, "poll takes 1 to %d events", ROOM);
        return NULL;
    }
    /* Rounded up, as Python does: what wakes too early finds nothing due. */
    int timeout_ms = timeout_s > 0.0 ? (int)ceil(fmin(timeout_s * 1e3, 1e9)) : 0;
    int got;
    if (timeout_ms == 0) {
        got = epoll_wait(self->fd, self->room, (int)most, 0);
    } else {
        Py_BEGIN_ALLOW_THREADS
        got = epoll_wait(self->fd, self->room, (int)most, timeout_ms);
        Py_END_ALLOW_THREADS
    }
    if (got < 0 && errno == EINTR) { /* by a signal, whose handler may have stopped the loop */
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
        got = 0;
    }
    if (got < 0) {
        return error_of(errno);
    }
    PyObject *ready = PyList_New(got);
    for (int i = 0; ready != NULL && i < got; i++) {
        PyObject *pair = pair_of(&self->room[i]);
        if (pair == NULL) {
            Py_CLEAR(ready);
            break;
        }
        PyList_SET_ITEM(ready, i, pair);
    }
    return ready;
}

static PyObject *poller_fileno(Poller *self, PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(self->fd);
}

static PyObject *poller_close(Poller *self, PyObject *Py_UNUSED(none)) {
    if (self->fd >= 0) {
        close(self->fd);
        self->fd = -1;
    }
    Py_RETURN_NONE;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

static PyMethodDef methods[] = {
    {"register", FAST(poller_register), PyDoc_STR("register(fd, events)")},
    {"modify", FAST(poller_modify), PyDoc_STR("modify(fd, events)")},
    {"unregister", FAST(poller_unregister), PyDoc_STR("unregister(fd)")},
    {"poll", FAST(poller_poll), PyDoc_STR("poll(timeout_s, most)")},
    {"fileno", (PyCFunction)poller_fileno, METH_NOARGS, NULL},
    {"close", (PyCFunction)poller_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, poller_new},
    {Py_tp_dealloc, poller_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, PyDoc_STR("Which descriptors are ready.")},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "penstock._poller.Poller",
    .basicsize = sizeof(Poller),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._poller",
    .m_doc = "epoll that costs less.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__poller(void) {
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module != NULL ? PyType_FromSpec(&spec) : NULL;
    if (type == NULL || PyModule_AddObject(module, "Poller", type) < 0) {
        Py_XDECREF(type);
        Py_CLEAR(module);
    }
    return module;
}
