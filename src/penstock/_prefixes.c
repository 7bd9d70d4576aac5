/* What an index of prefixes does for every block of a prompt: see `core/prefixes/prefix_index.py` and
`dataplane/llm/routed_prefixes.py`, which do the same without it.
*/
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

enum { FEW = 2048 }; /* places that are passed over quickly; four times the blocks of a prompt */

static int is_wrong(int is_right, const char *form) {
    if (!is_right) {
        PyErr_SetString(PyExc_TypeError, form);
    }
    return !is_right;
}

/* That endpoint holds the block too; `bit` is its own. */
static int add_holder(PyObject *holders, PyObject *block, PyObject *bit) {
    PyObject *before = PyDict_GetItemWithError(holders, block);
    if (before == NULL) {
        return PyErr_Occurred() ? -1 : PyDict_SetItem(holders, block, bit);
    }
    PyObject *after = PyNumber_Or(before, bit);
    int set = after != NULL ? PyDict_SetItem(holders, block, after) : -1;
    Py_XDECREF(after);
    return set;
}

/* One block becomes the most recently used; 1 where it was not there before, -1 for an error. */
static int touch(PyObject *own, PyObject *holders, PyObject *block, PyObject *bit, PyObject *size) {
    PyObject *known = PyDict_GetItemWithError(own, block);
    if (known == NULL) {
        if (PyErr_Occurred() || PyDict_SetItem(own, block, size) < 0) {
            return -1;
        }
        return add_holder(holders, block, bit) < 0 ? -1 : 1;
    }
    Py_INCREF(known);
    int moved = PyDict_DelItem(own, block) < 0 ? -1 : PyDict_SetItem(own, block, known);
    Py_DECREF(known);
    return moved;
}

static PyObject *insert(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (is_wrong(count == 5 && PyList_Check(args[0]) && PyList_Check(args[1]) &&
                     PyList_GET_SIZE(args[0]) <= PyList_GET_SIZE(args[1]) &&
                     PyDict_Check(args[2]) && PyDict_Check(args[3]),
                 "insert(blocks: list, ends: list, own: dict, holders: dict, bit: int)")) {
        return NULL;
    }
    PyObject *blocks = args[0], *ends = args[1], *own = args[2], *holders = args[3];
    Py_ssize_t known = PyList_GET_SIZE(blocks);
    PyObject *fresh = PyList_New(0), *sizes = PyList_New(0);
    long long added = 0;
    int failed = fresh == NULL || sizes == NULL;
    for (Py_ssize_t at = known - 1; at >= 0 && !failed; at--) {
        PyObject *block = PyList_GET_ITEM(blocks, at);
        long long size = PyLong_AsLongLong(PyList_GET_ITEM(ends, at));
        size -= at > 0 ? PyLong_AsLongLong(PyList_GET_ITEM(ends, at - 1)) : 0;
        PyObject *tokens = PyErr_Occurred() ? NULL : PyLong_FromLongLong(size);
        int is_fresh = tokens != NULL ? touch(own, holders, block, args[4], tokens) : -1;
        failed = is_fresh < 0;
        if (is_fresh > 0) {
            known = at;
            added += size;
            failed = PyList_Append(fresh, block) < 0 || PyList_Append(sizes, tokens) < 0;
        }
        Py_XDECREF(tokens);
    }
    if (failed) {
        Py_XDECREF(fresh);
        Py_XDECREF(sizes);
        return NULL;
    }
    return Py_BuildValue("(nLNN)", known, added, fresh, sizes);
}

/* The endpoint of that bit holds the block no more. */
static int drop_holder(PyObject *holders, PyObject *block, PyObject *bit) {
    PyObject *before = PyDict_GetItemWithError(holders, block);
    if (before == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *after = PyNumber_Xor(before, bit);
    if (after == NULL) {
        return -1;
    }
    int has_others = PyObject_IsTrue(after);
    int done = has_others ? PyDict_SetItem(holders, block, after) : PyDict_DelItem(holders, block);
    Py_DECREF(after);
    return done;
}

static PyObject *shrink(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (is_wrong(count == 8 && PyDict_Check(args[0]) && PyDict_Check(args[1]),
                 "shrink(own: dict, holders: dict, bit: int, over: int, tokens: int, room: int, "
                 "table: int, at: int)")) {
        return NULL;
    }
    PyObject *own = args[0], *holders = args[1];
    Py_ssize_t over = PyLong_AsSsize_t(args[3]);
    long long tokens = PyLong_AsLongLong(args[4]), room = PyLong_AsLongLong(args[5]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    /* To delete leaves all other entries where they are. Where thousands went before, to look for the
    first of those that are left begins where the last time ended, unless the table was made anew
    since; so large a one is not, twice in one prompt, so that no other stands where it stood. */
    uintptr_t table = (uintptr_t)((PyDictObject *)own)->ma_keys;
    int is_known = PyLong_AsUnsignedLongLongMask(args[6]) == table;
    Py_ssize_t at = is_known ? PyLong_AsSsize_t(args[7]) : 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    at = at < FEW ? 0 : at;
    PyObject *block, *size;
    while ((over > 0 || (room != 0 && tokens > room)) && PyDict_Next(own, &at, &block, &size)) {
        tokens -= PyLong_AsLongLong(size);
        over--;
        Py_INCREF(block);
        int done = PyErr_Occurred() || PyDict_DelItem(own, block) < 0
                       ? -1
                       : drop_holder(holders, block, args[2]);
        Py_DECREF(block);
        if (done < 0) {
            return NULL;
        }
    }
    return Py_BuildValue("(LKn)", tokens, (unsigned long long)table, at);
}

static PyObject *tell(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (is_wrong(count == 7 && PyList_Check(args[5]) && PyList_Check(args[6]) &&
                     PyList_GET_SIZE(args[5]) == PyList_GET_SIZE(args[6]),
                 "tell(cells, first: int, entries: int, count: int, row: int, hashes: list, "
                 "sizes: list)")) {
        return NULL;
    }
    Py_ssize_t first = PyLong_AsSsize_t(args[1]), entries = PyLong_AsSsize_t(args[2]);
    Py_ssize_t number = PyLong_AsSsize_t(args[3]);
    int64_t row = PyLong_AsLongLong(args[4]);
    Py_buffer cells;
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &cells, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    int is_within = first >= 0 && number >= 0 && entries > 0 &&
                    cells.len / 8 - first >= 2 * entries && cells.itemsize == 8;
    for (Py_ssize_t i = 0; is_within && i < PyList_GET_SIZE(args[5]); i++) {
        uint64_t hash = PyLong_AsUnsignedLongLongMask(PyList_GET_ITEM(args[5], i));
        int64_t size = PyLong_AsLongLong(PyList_GET_ITEM(args[6], i));
        if (PyErr_Occurred()) {
            break;
        }
        int64_t *entry = (int64_t *)cells.buf + first + 2 * (number % entries);
        entry[0] = (int64_t)hash;
        entry[1] = row | (size < 0xFFFFFFFF ? size : 0xFFFFFFFF);
        number++;
    }
    PyBuffer_Release(&cells);
    if (PyErr_Occurred() || is_wrong(is_within, "the ring lies within cells of 8 bytes")) {
        return NULL;
    }
    return PyLong_FromSsize_t(number);
}

static PyObject *in_tokens(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (is_wrong(count == 3 && PyList_Check(args[0]) && PyFloat_Check(args[2]),
                 "in_tokens(ends: list, count: int, per_token: float)")) {
        return NULL;
    }
    Py_ssize_t wanted = PyLong_AsSsize_t(args[1]);
    double per_token = PyFloat_AS_DOUBLE(args[2]);
    if (PyErr_Occurred() || wanted > PyList_GET_SIZE(args[0]) || !(per_token >= 1.0)) {
        is_wrong(PyErr_Occurred() != NULL, "as many ends as there are, and a byte for each token");
        return NULL;
    }
    PyObject *found = PyList_New(wanted);
    for (Py_ssize_t i = 0; found != NULL && i < wanted; i++) {
        double end = (double)PyLong_AsSsize_t(PyList_GET_ITEM(args[0], i));
        PyObject *tokens = PyLong_FromSsize_t((Py_ssize_t)(end / per_token));
        if (tokens == NULL) {
            Py_CLEAR(found);
            break;
        }
        PyList_SET_ITEM(found, i, tokens);
    }
    return found;
}

static PyMethodDef functions[] = {
    {"insert", (PyCFunction)(void (*)(void))insert, METH_FASTCALL,
     "Touch a prompt's blocks, the last first: how many of the first were known, the tokens of all "
     "others, those blocks, and the tokens of each."},
    {"shrink", (PyCFunction)(void (*)(void))shrink, METH_FASTCALL,
     "Let the oldest blocks go until none are over and the tokens have room (0: any have); the "
     "tokens that are left, and where the next time begins: a table and a place in it."},
    {"in_tokens", (PyCFunction)(void (*)(void))in_tokens, METH_FASTCALL,
     "The first so many ends, which are in bytes, in tokens."},
    {"tell", (PyCFunction)(void (*)(void))tell, METH_FASTCALL,
     "Write entries of two cells into a ring; the number of the next."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._prefixes",
    .m_doc = "What an index of prefixes does for every block.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__prefixes(void) { return PyModule_Create(&definition); }
