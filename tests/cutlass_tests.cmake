# Operands and judge of the programs below, and a test of the judge.
add_library(moesaic_grouped_case STATIC cutlass/grouped_case.cpp)
target_include_directories(moesaic_grouped_case PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(moesaic_grouped_case PRIVATE moesaic_reference moesaic_tensor_core)

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
            -I ${PROJECT_SOURCE_DIR}/include -I ${CMAKE_CURRENT_SOURCE_DIR} -isystem ${tree}/include
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

# moesaic_cutlass_tile(M N K SCHEDULE TOKENS D BIAS VERSION CARD): one tile, from tests/cutlass/tile.cu.
function(moesaic_cutlass_tile m n k schedule tokens d bias version card)
  string(REGEX REPLACE "<.*" "" kind ${schedule})
  string(TOLOWER ${kind} kind)
  moesaic_cutlass_test(${kind}_${m}x${n}x${k} cutlass/tile.cu ${cutlass_trees}/${version} ${card} MOESAIC_M=${m} MOESAIC_N=${n}
                       MOESAIC_K=${k} MOESAIC_SCHEDULE=${schedule} MOESAIC_TOKENS=${tokens} MOESAIC_D=${d} MOESAIC_BIAS=${bias})
endfunction()

# Every size of a tile, both schedules and CUTLASS's own tags for them, both axes for the tokens, every type of D, both
# forms of the multiply. scripts/cutlass_tiles.py runs all 34 tiles.
moesaic_cutlass_tile(128 128 128 CutlassCooperative<2> m cutlass::bfloat16_t void 4.2 gb10)
moesaic_cutlass_tile(64 16 128 Pingpong<2> m cutlass::bfloat16_t void 4.2 rtx5090)
moesaic_cutlass_tile(128 64 64 Pingpong<2> m cutlass::half_t void 4.2 gb10)
moesaic_cutlass_tile(128 16 128 Cooperative<2> n cutlass::bfloat16_t void 4.5 gb10)
moesaic_cutlass_tile(256 32 64 PlainCooperative<2> m float float 4.5 rtx5090)
moesaic_cutlass_tile(64 256 64 CutlassPingpong<2> m cutlass::bfloat16_t void 4.5 gb10)

moesaic_cutlass_test(moe_mm_data cutlass/moe_mm_data.cu ${cutlass_trees}/4.2 gb10)
moesaic_cutlass_test(example ../examples/grouped_fp8_moe_gemm.cu ${cutlass_trees}/4.5 gb10)
moesaic_cutlass_test(vllm_shape cutlass/vllm_shape.cu ${patched} gb10)
