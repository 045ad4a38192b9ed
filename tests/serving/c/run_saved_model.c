/* Runs signatures of a SavedModel through TensorFlow's C API, without Python.
 *
 *   run_saved_model SAVED_MODEL INPUTS OUTPUTS
 *
 * For every folder INPUTS/SIGNATURE it feeds INPUTS/SIGNATURE/INPUT.npy, leaves inputs
 * without a file to the defaults that the SavedModel holds, and writes every output to
 * OUTPUTS/SIGNATURE/OUTPUT.npy. Which tensors a signature means is read from the
 * MetaGraphDef, whose few fields that matter are taken apart here: no protobuf library is
 * needed. Files are NumPy's format 1.0, float32 and int32, little-endian.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tensorflow/c/c_api.h"

enum { MOST_TENSORS = 256, MOST_DIMENSIONS = 16, PATH_SIZE = 4096 };

static void fail(const char* what, const char* detail) {
  fprintf(stderr, "error: %s: %s\n", what, detail);
  exit(2);
}

static void check(TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

static void* allocate(size_t size) {
  void* memory = calloc(1, size ? size : 1);
  if (memory == NULL) fail("out of memory", "");
  return memory;
}

static void join(char* path, const char* folder, const char* name, const char* ending) {
  int length = snprintf(path, PATH_SIZE, "%s/%s%s", folder, name, ending);
  if (length < 0 || length >= PATH_SIZE) fail("path is too long", name);
}

/* Protocol buffers: a message is fields, each a key and bytes or a number. */

typedef struct {
  const uint8_t* at;
  const uint8_t* end;
} Bytes;

typedef struct {
  uint64_t number;
  Bytes bytes; /* of fields with a length */
} Field;

static uint64_t varint(Bytes* message) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (message->at == message->end) fail("MetaGraphDef", "it ends too early");
    uint8_t byte = *message->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail("MetaGraphDef", "a number is too long");
  return 0;
}

static void skip(Bytes* message, uint64_t size) {
  if (size > (uint64_t)(message->end - message->at)) fail("MetaGraphDef", "it ends too early");
  message->at += size;
}

/* Reads the next field; returns 0 at the end. */
static int next_field(Bytes* message, Field* field) {
  if (message->at == message->end) return 0;
  uint64_t key = varint(message);
  field->number = key >> 3;
  field->bytes.at = field->bytes.end = message->at;
  switch (key & 7) {
    case 0: varint(message); break;
    case 1: skip(message, 8); break;
    case 2: {
      uint64_t size = varint(message);
      field->bytes.at = message->at;
      skip(message, size);
      field->bytes.end = message->at;
      break;
    }
    case 5: skip(message, 4); break;
    default: fail("MetaGraphDef", "a field of an unknown kind");
  }
  return 1;
}

/* Returns the bytes of the first field of a number; none if there is none. */
static Bytes find(Bytes message, uint64_t number) {
  Field field;
  while (next_field(&message, &field))
    if (field.number == number) return field.bytes;
  return (Bytes){NULL, NULL};
}

static char* text(Bytes bytes) {
  size_t size = (size_t)(bytes.end - bytes.at);
  char* copy = allocate(size + 1);
  if (size) memcpy(copy, bytes.at, size);
  return copy;
}

/* Returns the entry of a map field under a key; none if there is none. */
static Bytes map_entry(Bytes message, uint64_t number, const char* key) {
  Field field;
  while (next_field(&message, &field)) {
    if (field.number != number) continue;
    char* name = text(find(field.bytes, 1));
    int same = strcmp(name, key) == 0;
    free(name);
    if (same) return find(field.bytes, 2);
  }
  return (Bytes){NULL, NULL};
}

enum { META_GRAPH_SIGNATURES = 5, SIGNATURE_INPUTS = 1, SIGNATURE_OUTPUTS = 2,
       SIGNATURE_DEFAULTS = 4, TENSOR_INFO_NAME = 1 };

/* NumPy's files. */

static TF_Tensor* read_array(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return NULL;
  uint8_t head[10];
  if (fread(head, 1, 10, file) != 10 || memcmp(head, "\x93NUMPY\x01\x00", 8) != 0)
    fail(path, "it is not of NumPy's format 1.0");
  size_t length = head[8] | (size_t)head[9] << 8;
  char* header = allocate(length + 1);
  if (fread(header, 1, length, file) != length) fail(path, "it ends too early");
  TF_DataType type = TF_FLOAT;
  if (strstr(header, "'<i4'")) type = TF_INT32;
  else if (!strstr(header, "'<f4'")) fail(path, "it holds neither float32 nor int32");
  char* shape = strstr(header, "'shape': (");
  if (strstr(header, "'fortran_order': False") == NULL || shape == NULL)
    fail(path, "its order is Fortran's, or it has no shape");
  int64_t dimensions[MOST_DIMENSIONS];
  int rank = 0;
  size_t count = 1;
  for (char* at = shape + 10; *at != ')';) {
    char* next;
    long long size = strtoll(at, &next, 10);
    if (next == at || size < 0 || rank == MOST_DIMENSIONS) fail(path, "its shape is odd");
    dimensions[rank++] = size;
    count *= (size_t)size;
    at = next + strspn(next, ", ");
  }
  TF_Tensor* tensor = TF_AllocateTensor(type, dimensions, rank, count * 4);
  if (count && fread(TF_TensorData(tensor), 4, count, file) != count)
    fail(path, "it ends too early");
  free(header);
  fclose(file);
  return tensor;
}

static void write_array(const char* path, const TF_Tensor* tensor) {
  TF_DataType type = TF_TensorType(tensor);
  if (type != TF_FLOAT && type != TF_INT32) fail(path, "it is neither float32 nor int32");
  char shape[PATH_SIZE] = "";
  size_t used = 0;
  for (int i = 0; i < TF_NumDims(tensor); ++i)
    used += (size_t)snprintf(shape + used, sizeof shape - used, "%lld,",
                             (long long)TF_Dim(tensor, i));
  char header[2 * PATH_SIZE];
  int length = snprintf(header, sizeof header,
                        "{'descr': '<%s4', 'fortran_order': False, 'shape': (%s), }",
                        type == TF_FLOAT ? "f" : "i", shape);
  int padding = 63 - (10 + length) % 64;
  FILE* file = fopen(path, "wb");
  if (file == NULL) fail(path, "it cannot be written");
  int total = length + padding + 1;
  fprintf(file, "\x93NUMPY%c%c%c%c%s%*s\n", 1, 0, total & 255, total >> 8, header, padding, "");
  size_t size = TF_TensorByteSize(tensor);
  if (fwrite(TF_TensorData(tensor), 1, size, file) != size || fclose(file) != 0)
    fail(path, "it cannot be written");
}

/* Finds a tensor by its name, "operation:index". */
static TF_Output tensor_of(TF_Graph* graph, Bytes info) {
  char* name = text(find(info, TENSOR_INFO_NAME));
  char* colon = strrchr(name, ':');
  int index = colon ? atoi(colon + 1) : 0;
  if (colon) *colon = '\0';
  TF_Operation* operation = TF_GraphOperationByName(graph, name);
  if (operation == NULL) fail("the graph lacks an operation", name);
  free(name);
  return (TF_Output){operation, index};
}

static void run_signature(TF_Session* session, TF_Graph* graph, Bytes signature,
                          const char* inputs, const char* outputs) {
  TF_Output feeds[MOST_TENSORS], fetches[MOST_TENSORS];
  TF_Tensor *values[MOST_TENSORS], *answers[MOST_TENSORS] = {NULL};
  char* names[MOST_TENSORS];
  char path[PATH_SIZE];
  int num_feeds = 0, num_fetches = 0;
  Bytes rest = signature;
  Field field;
  while (next_field(&rest, &field)) {
    if (field.number != SIGNATURE_INPUTS && field.number != SIGNATURE_OUTPUTS) continue;
    if (num_feeds == MOST_TENSORS || num_fetches == MOST_TENSORS) fail("too many tensors", inputs);
    char* name = text(find(field.bytes, 1));
    TF_Output tensor = tensor_of(graph, find(field.bytes, 2));
    if (field.number == SIGNATURE_OUTPUTS) {
      names[num_fetches] = name;
      fetches[num_fetches++] = tensor;
      continue;
    }
    join(path, inputs, name, ".npy");
    TF_Tensor* value = read_array(path);
    if (value != NULL) {
      feeds[num_feeds] = tensor;
      values[num_feeds++] = value;
    } else if (map_entry(signature, SIGNATURE_DEFAULTS, name).at == NULL) {
      fail("an input has neither a file nor a default", path);
    }
    free(name);
  }
  TF_Status* status = TF_NewStatus();
  TF_SessionRun(session, NULL, feeds, values, num_feeds, fetches, answers, num_fetches, NULL, 0,
                NULL, status);
  check(status, inputs);
  mkdir(outputs, 0777);
  for (int i = 0; i < num_fetches; ++i) {
    join(path, outputs, names[i], ".npy");
    write_array(path, answers[i]);
    free(names[i]);
    TF_DeleteTensor(answers[i]);
  }
  for (int i = 0; i < num_feeds; ++i) TF_DeleteTensor(values[i]);
  TF_DeleteStatus(status);
}

int main(int count, char** arguments) {
  if (count != 4) fail("usage", "run_saved_model SAVED_MODEL INPUTS OUTPUTS");
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Buffer* meta_graph = TF_NewBuffer();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph,
                                                     meta_graph, status);
  check(status, arguments[1]);
  Bytes message = {meta_graph->data, (const uint8_t*)meta_graph->data + meta_graph->length};

  DIR* folder = opendir(arguments[2]);
  if (folder == NULL) fail("no such folder", arguments[2]);
  mkdir(arguments[3], 0777);
  for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char inputs[PATH_SIZE], outputs[PATH_SIZE];
    join(inputs, arguments[2], entry->d_name, "");
    join(outputs, arguments[3], entry->d_name, "");
    Bytes signature = map_entry(message, META_GRAPH_SIGNATURES, entry->d_name);
    if (signature.at == NULL) fail("the SavedModel lacks a signature", entry->d_name);
    run_signature(session, graph, signature, inputs, outputs);
    printf("%s\n", entry->d_name);
  }
  closedir(folder);
  TF_CloseSession(session, status);
  check(status, "closing the session");
  TF_DeleteSession(session, status);
  TF_DeleteBuffer(meta_graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
