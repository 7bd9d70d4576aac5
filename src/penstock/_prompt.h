/* A prompt as pieces of the body that it came in: see `wire/prompt_blocks.py`. */
#ifndef PENSTOCK_PROMPT_H
#define PENSTOCK_PROMPT_H

#include "_json.h"
#include "_xxh3.h"

enum { SHORT_BYTES = 240, BLOCK_BYTES = 4096, RESERVED = 2 };
static const unsigned char separator[] = {0x1E};

/* A prompt's pieces, in its body. */
typedef struct {
    PyObject_HEAD
    PyObject *body;
    Span *pieces;
    Py_ssize_t count;
    Py_ssize_t first; /* places before it were set aside for what is rendered first */
    Py_ssize_t room;
    Py_ssize_t opening; /* pieces up to the first turn of the user, itself included */
} Prompt;

static PyTypeObject *prompt_type;

static void prompt_dealloc(Prompt *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->body);
    PyMem_Free(self->pieces);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int add_piece(Prompt *prompt, Span piece) {
    if (prompt->count == prompt->room) {
        Py_ssize_t room = 2 * prompt->room;
        Span *pieces = PyMem_Realloc(prompt->pieces, (size_t)room * sizeof(Span));
        if (pieces == NULL) {
            return 0; /* it is read the other way, or not */
        }
        prompt->pieces = pieces;
        prompt->room = room;
    }
    prompt->pieces[prompt->count++] = piece;
    return 1;
}

static Py_ssize_t size_of(const Prompt *prompt) {
    Py_ssize_t size = 0;
    for (Py_ssize_t i = prompt->first; i < prompt->count; i++) {
        size += prompt->pieces[i].size + (i > prompt->first);
    }
    return size;
}

/* Copies that part of the prompt: [start, start + size), which is there. */
static void copy(const Prompt *prompt, Py_ssize_t at, Py_ssize_t within, unsigned char *to,
                 Py_ssize_t size) {
    while (size > 0) {
        const Span *piece = &prompt->pieces[at];
        Py_ssize_t part = piece->size - within;
        part = part < size ? part : size;
        memcpy(to, piece->start + within, (size_t)part);
        to += part;
        size -= part;
        if (size > 0) {
            *to++ = *separator;
            size--;
        }
        at++;
        within = 0;
    }
}

static PyObject *prompt_blocks(Prompt *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !PyList_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "blocks(ends: list[int], count: int, chained: int)");
        return NULL;
    }
    PyObject *ends = args[0];
    Py_ssize_t wanted = PyLong_AsSsize_t(args[1]);
    uint64_t chained = PyLong_AsUnsignedLongLong(args[2]);
    if (PyErr_Occurred() || wanted > PyList_GET_SIZE(ends)) {
        return NULL;
    }
    PyObject *blocks = PyList_New(wanted);
    Py_ssize_t whole = size_of(self);
    Py_ssize_t at = self->first, begins = 0, start = 0; /* the piece, its beginning, the block's */
    unsigned char copied[BLOCK_BYTES];
    for (Py_ssize_t i = 0; blocks != NULL && i < wanted; i++) {
        Py_ssize_t end = PyLong_AsSsize_t(PyList_GET_ITEM(ends, i));
        Py_ssize_t size = end - start;
        if (size <= SHORT_BYTES || size > BLOCK_BYTES || end > whole) {
            PyErr_SetString(PyExc_ValueError, "blocks end within the prompt, 241 to 4096 bytes apart");
            Py_CLEAR(blocks);
            break;
        }
        while (start > begins + self->pieces[at].size) {
            begins += self->pieces[at].size + 1;
            at++;
        }
        if (end <= begins + self->pieces[at].size) {
            chained = xxh3_of(self->pieces[at].start + (start - begins), (size_t)size, chained);
        } else {
            copy(self, at, start - begins, copied, size);
            chained = xxh3_of(copied, (size_t)size, chained);
        }
        PyObject *block = PyLong_FromUnsignedLongLong(chained);
        if (block == NULL) {
            Py_CLEAR(blocks);
            break;
        }
        PyList_SET_ITEM(blocks, i, block);
        start = end;
    }
    return blocks;
}

static PyObject *prompt_opening(Prompt *self, PyObject *most) {
    Py_ssize_t bound = PyLong_AsSsize_t(most);
    Py_ssize_t size = 0;
    for (Py_ssize_t i = 0; i < self->opening; i++) {
        size += self->pieces[self->first + i].size + (i > 0);
    }
    size = size < bound ? size : bound;
    PyObject *text = PyBytes_FromStringAndSize(NULL, size);
    if (text != NULL) {
        copy(self, self->first, 0, (unsigned char *)PyBytes_AS_STRING(text), size);
    }
    return text;
}

static PyMethodDef prompt_methods[] = {
    {"blocks", (PyCFunction)(void (*)(void))prompt_blocks, METH_FASTCALL,
     "The hashes of so many blocks that end there, each seeded with the one before it."},
    {"opening", (PyCFunction)prompt_opening, METH_O,
     "All up to the first turn of the user, of that at most so many bytes; b\"\" without one."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot prompt_slots[] = {
    {Py_tp_dealloc, prompt_dealloc},
    {Py_tp_methods, prompt_methods},
    {0, NULL},
};

static PyType_Spec prompt_spec = {
    .name = "penstock._prompts.Prompt",
    .basicsize = sizeof(Prompt),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = prompt_slots,
};

#endif
