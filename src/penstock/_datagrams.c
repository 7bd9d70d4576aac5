/* Receives many datagrams for one system call.

Python's sockets have no recvmmsg, make a tuple and a text of each address, and raise an exception
when nothing is left: docs/adr/datagrams-in-batches.md says what that costs. Whoever sent a datagram is told
as the bytes of the kernel's own address, which `dataplane/io/datagram_reader.py` reads where it
must; behind them stand those of IP_PKTINFO or IPV6_PKTINFO, where the socket asks for them.
*/
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
    MOST = 64,
    ROOM = 65536,       /* no datagram is larger */
    CONTROL_ROOM = 128, /* of one control message, with room for others that nobody asked for */
};

static char *arena; /* pages are taken as they are used */
static struct mmsghdr heads[MOST];
static struct iovec parts[MOST];
static struct sockaddr_storage names[MOST];
static union {
    char bytes[CONTROL_ROOM];
    struct cmsghdr aligned;
} controls[MOST];

/* The address that a datagram came from, and what tells to which one it was sent. */
static PyObject *key_of(struct msghdr *head) {
    const void *asked = NULL;
    size_t asked_size = 0;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(head); each; each = CMSG_NXTHDR(head, each)) {
        if ((each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) ||
            (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO)) {
            asked = CMSG_DATA(each);
            asked_size = each->cmsg_len - CMSG_LEN(0);
            break;
        }
    }
    size_t name_size = head->msg_namelen;
    if (name_size > sizeof(struct sockaddr_storage)) {
        name_size = sizeof(struct sockaddr_storage);
    }
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(name_size + asked_size));
    if (key != NULL) {
        memcpy(PyBytes_AS_STRING(key), head->msg_name, name_size);
        if (asked_size > 0) {
            memcpy(PyBytes_AS_STRING(key) + name_size, asked, asked_size);
        }
    }
    return key;
}

static PyObject *pair(PyObject *data, PyObject *key) {
    PyObject *made = data != NULL && key != NULL ? PyTuple_Pack(2, data, key) : NULL;
    Py_XDECREF(data);
    Py_XDECREF(key);
    return made;
}

PyDoc_STRVAR(receive_doc,
             "receive(fd, most)\n--\n\n"
             "The datagrams that wait at a socket, at most so many and 64: of each its bytes, and\n"
             "the address it is from with the one it was sent to, as the kernel has them. Never\n"
             "waits; where there is an error, it ends the list.");

static PyObject *receive(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "receive takes a descriptor and a number");
        return NULL;
    }
    long fd = PyLong_AsLong(args[0]);
    long most = PyLong_AsLong(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (most < 1 || most > MOST) {
        most = most < 1 ? 1 : MOST;
    }
    if (arena == NULL) {
        arena = malloc((size_t)MOST * ROOM);
        if (arena == NULL) {
            return PyErr_NoMemory();
        }
    }
    for (long i = 0; i < most; i++) {
        parts[i].iov_base = arena + (size_t)i * ROOM;
        parts[i].iov_len = ROOM;
        memset(&heads[i], 0, sizeof heads[i]);
        heads[i].msg_hdr.msg_name = &names[i];
        heads[i].msg_hdr.msg_namelen = sizeof names[i];
        heads[i].msg_hdr.msg_iov = &parts[i];
        heads[i].msg_hdr.msg_iovlen = 1;
        heads[i].msg_hdr.msg_control = &controls[i];
        heads[i].msg_hdr.msg_controllen = sizeof controls[i];
    }
    int got = recvmmsg((int)fd, heads, (unsigned int)most, MSG_DONTWAIT, NULL);
    PyObject *found = PyList_New(got > 0 ? got : 0);
    for (int i = 0; found != NULL && i < got; i++) {
        PyObject *data = PyBytes_FromStringAndSize(parts[i].iov_base, heads[i].msg_len);
        PyObject *each = pair(data, data != NULL ? key_of(&heads[i].msg_hdr) : NULL);
        if (each == NULL) {
            Py_CLEAR(found);
            break;
        }
        PyList_SET_ITEM(found, i, each);
    }
    return found;
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL, receive_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._datagrams",
    .m_doc = "Many datagrams for one system call.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__datagrams(void) { return PyModule_Create(&definition); }
