/* Linked in place of libtorch_cuda.so where only a CPU build of torch is at hand; see CMakeLists.txt. Never installed. */
int aoti_torch_get_current_cuda_stream(int device_index, void** stream);
int aoti_torch_get_current_cuda_stream(int device_index, void** stream) {
  (void)device_index;
  (void)stream;
  return 1;
}
