# Operands and judge of the programs below, and a test of the judge.
add_library(moesaic_grouped_case STATIC cutlass/grouped_case.cpp)
target_include_directories(moesaic_grouped_case PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(moesaic_grouped_case PUBLIC moesaic_spec PRIVATE moesaic_reference moesaic_tensor_core)

moesaic_test(grouped_case_test moesaic_grouped_case moesaic_tensor_core)

# The CUTLASS collectives (include/moesaic/cutlass) as programs of CUTLASS users, run by `moesaic emulate`. They need
# CUTLASS's headers, which scripts/cutlass.sh fetches; nothing else in this project does.
if(MOESAIC_SANITIZE OR CMAKE_CROSSCOMPILING OR NOT TARGET moesaic_cudart)
  return()
endif()
set(cutlass_trees ${PROJECT_SOURCE_DIR}/.cache/cutlass)
if(NOT EXISTS ${cutlass_trees}/4.2 OR NOT EXISTS ${cutlass_trees}/4.5)
  message(STATUS "No CUTLASS headers in .cache/cutlass (scripts/cutlass.sh fetches them): its tests are not made")
  return()
endif()

# CUTLASS 4.2 with the patches that scripts/cutlass_patch.py writes.
set(patched ${CMAKE_CURRENT_BINARY_DIR}/cutlass_patched)
file(GLOB patch_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/moesaic/cutlass/*.hpp)
add_custom_command(
  OUTPUT ${patched}/include/cutlass/version.h
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${patched}
  COMMAND ${PROJECT_SOURCE_DIR}/scripts/cutlass_patch.py ${cutlass_trees}/4.2 ${patched}/patches
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${cutlass_trees}/4.2/include ${patched}/include
  COMMAND patch --quiet -p1 -d ${patched} -i ${patched}/patches/0001-multiply.patch
  COMMAND patch --quiet -p1 -d ${patched} -i ${patched}/patches/0002-collective.patch
  COMMAND patch --quiet -p1 -d ${patched} -i ${patched}/patches/0003-builder.patch
  DEPENDS ${PROJECT_SOURCE_DIR}/scripts/cutlass_patch.py ${patch_sources}
  COMMENT "Patching a copy of CUTLASS 4.2"
  VERBATIM)

# moesaic_cutlass_test(NAME SOURCE TREE CARD DEFINES...): a program from a CUDA source with the headers of the CUTLASS
# tree TREE, and the test Cutlass.NAME that runs it on an emulated CARD of two SMs with every check.
function(moesaic_cutlass_test name source tree card)
  set(program cutlass_${name})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${program}.o)
  cmake_path(ABSOLUTE_PATH source)
  list(TRANSFORM ARGN PREPEND -D)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${MOESAIC_NVCC} -c -std=c++17 -O0 -DNDEBUG --expt-relaxed-constexpr -diag-suppress 20012 ${ARGN}
            -I ${PROJECT_SOURCE_DIR}/include -I ${PROJECT_SOURCE_DIR}/src -I ${CMAKE_CURRENT_SOURCE_DIR} -isystem ${tree}/include
            -isystem ${tree}/tools/util/include
            -gencode arch=compute_120f,code=[sm_120f,compute_120f] -MD -MF ${object}.d -MT ${object} -o ${object} ${source}
    DEPENDS ${source} ${tree}/include/cutlass/version.h ${MOESAIC_NVCC}
    DEPFILE ${object}.d
    JOB_POOL cutlass
    COMMENT "Compiling ${program} with nvcc and CUTLASS"
    VERBATIM)
  add_executable(${program} ${object})
  set_target_properties(${program} PROPERTIES LINKER_LANGUAGE CXX SKIP_BUILD_RPATH ON)
  target_link_libraries(${program} PRIVATE moesaic_grouped_case moesaic_cudart)
  target_link_options(${program} PRIVATE -Wl,--allow-shlib-undefined)
  add_test(NAME Cutlass.${name}
           COMMAND moesaic emulate --gpu ${card} --sms 2 --check all -- $<TARGET_FILE:${program}>)
endfunction()

# What a tile computed, by our own kernel.
add_executable(cutlass_own_kernel cutlass/own_kernel.cpp)
target_link_libraries(cutlass_own_kernel PRIVATE moesaic_grouped_case moesaic_engine moesaic::fmt)

# moesaic_cutlass_tile(M N K SCHEDULE TOKENS X D BIAS VERSION CARD): one tile, from tests/cutlass/tile.cu, and the test
# Cutlass.NAME_as_our_kernel that compares it bit for bit.
function(moesaic_cutlass_tile m n k schedule tokens x d bias version card)
  string(REGEX REPLACE "<.*" "" kind ${schedule})
  string(TOLOWER ${kind} kind)
  set(name ${kind}_${m}x${n}x${k})
  set(types_e4m3 cutlass::float_e4m3_t)
  set(types_e5m2 cutlass::float_e5m2_t)
  set(types_bf16 cutlass::bfloat16_t)
  set(types_f16 cutlass::half_t)
  set(types_f32 float)
  set(types_plain void)
  set(types_biased float)
  moesaic_cutlass_test(${name} cutlass/tile.cu ${cutlass_trees}/${version} ${card} MOESAIC_M=${m} MOESAIC_N=${n}
                       MOESAIC_K=${k} MOESAIC_SCHEDULE=${schedule} MOESAIC_TOKENS=${tokens} MOESAIC_X=${types_${x}}
                       MOESAIC_D=${types_${d}} MOESAIC_BIAS=${types_${bias}})
  add_test(NAME Cutlass.${name}_as_our_kernel
           COMMAND sh -c "$<TARGET_FILE:moesaic> emulate --gpu ${card} --sms 2 --check none -- $<TARGET_FILE:cutlass_${name}> ${name}.out && \
                          $<TARGET_FILE:moesaic> emulate --gpu ${card} --sms 2 -- $<TARGET_FILE:cutlass_own_kernel> ${name}.out ${x} ${d} ${bias}")
endfunction()

# Every size of a tile, both schedules and CUTLASS's own tags for them, both axes for the tokens, every type, both forms of
# the multiply. scripts/cutlass_tiles.py runs all 34 tiles.
moesaic_cutlass_tile(128 128 128 CutlassCooperative<2> m e4m3 bf16 plain 4.2 gb10)
moesaic_cutlass_tile(64 16 128 Pingpong<2> m e5m2 bf16 plain 4.2 rtx5090)
moesaic_cutlass_tile(128 64 64 Pingpong<2> m e4m3 f16 plain 4.2 gb10)
moesaic_cutlass_tile(128 16 128 Cooperative<2> n e5m2 bf16 plain 4.5 gb10)
moesaic_cutlass_tile(256 32 64 PlainCooperative<2> m e4m3 f32 biased 4.5 rtx5090)
moesaic_cutlass_tile(64 256 64 CutlassPingpong<2> m e4m3 bf16 plain 4.5 gb10)

moesaic_cutlass_test(moe_mm_data cutlass/moe_mm_data.cu ${cutlass_trees}/4.2 gb10)
moesaic_cutlass_test(example ../examples/grouped_fp8_moe_gemm.cu ${cutlass_trees}/4.5 gb10)
moesaic_cutlass_test(vllm_shape cutlass/vllm_shape.cu ${patched} gb10)

# CUTLASS 4.5 as a later version would be, as far as its builders' conditions go: see later_version.cu.
set(later ${CMAKE_CURRENT_BINARY_DIR}/cutlass_later/include/cutlass)
set(dense_builder gemm/collective/builders/sm120_mma_builder.inl)
file(READ ${cutlass_trees}/4.5/include/cutlass/version.h text)
string(REPLACE "CUTLASS_MINOR 5" "CUTLASS_MINOR 6" text "${text}")
file(WRITE ${later}/version.h "${text}")
file(READ ${cutlass_trees}/4.5/include/cutlass/${dense_builder} text)
string(REGEX REPLACE "\n *cute::is_base_of_v<KernelPtrArrayTmaWarpSpecialized[A-Za-z]*, BuilderScheduleTag> \\|\\|" "" text "${text}")
file(WRITE ${later}/${dense_builder} "${text}")
foreach(name later_version later_version_without_ours)
  string(REPLACE later_version "" define ${name})
  string(TOUPPER "-DMOESAIC${define}" define)
  add_test(NAME Cutlass.${name}
           COMMAND ${MOESAIC_NVCC} -ptx -O0 -std=c++17 -arch=compute_120f --expt-relaxed-constexpr -diag-suppress 20012 ${define}
                   -I ${PROJECT_SOURCE_DIR}/include -isystem ${CMAKE_CURRENT_BINARY_DIR}/cutlass_later/include
                   -isystem ${cutlass_trees}/4.5/include -o ${name}.ptx ${CMAKE_CURRENT_SOURCE_DIR}/cutlass/later_version.cu)
endforeach()
