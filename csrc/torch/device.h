// The device that a source file of operators is compiled for. Most are compiled twice, into the CPU library and, with
// TWODASL_FOR_CUDA, into the CUDA one: checks, allocation and parameters are the same, and only a launch differs.
//
// Both sides define check_same_device(), OnDevice, empty_result(), empty_result_of(), dense_wide(), and
// TWODASL_OPERATORS(m), the block that registers kernels for the device.
#pragma once

#include "register.h"

#if defined(TWODASL_FOR_CUDA)
#include "cuda.h"
#else
#include "cpu.h"
#endif
