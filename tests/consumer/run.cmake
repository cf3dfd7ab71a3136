# cmake -D BUILD=... -D SOURCE=... -D WORK=... -D PROGRAM=... -D PROGRAM_WITH_BUG=... -P run.cmake: installs Moesaic from its
# build tree, configures the project beside this file against it, and runs that project's tests.
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --component moesaic
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -D CMAKE_PREFIX_PATH=${WORK}/prefix
                        -D PROGRAM=${PROGRAM} -D PROGRAM_WITH_BUG=${PROGRAM_WITH_BUG}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/build --output-on-failure --no-tests=error
                COMMAND_ERROR_IS_FATAL ANY)
