# The two commands of a newcomer are `make run` and `make test`; the work is in scripts/ and CMakePresets.json.
.PHONY: help run test test-release test-sanitize test-arm64 fuzz check-format format tidy clean

help:
	@echo "make run            build, then compute one MoE layer on this machine and on an emulated GB10, and check both"
	@echo "make test           check-format, test-release and test-sanitize"
	@echo "make test-release   build and run the tests"
	@echo "make test-sanitize  all but the longest with the address and undefined-behaviour sanitizers"
	@echo "make test-arm64     cross-build for 64-bit Arm and run the tests under qemu-user"
	@echo "make fuzz           feed the readers with damaged files, a minute for each"
	@echo "make check-format   whether clang-format agrees with every source"
	@echo "make format         let clang-format rewrite the sources"
	@echo "make tidy           let clang-tidy read the sources"
	@echo "make clean          remove what was built (the CUDA compiler in .venv stays)"

run:
	@scripts/run.sh

test:
	@scripts/test.sh format release sanitize

test-release:
	@scripts/test.sh release

test-sanitize:
	@scripts/test.sh sanitize

test-arm64:
	@scripts/arm64.sh

fuzz:
	@scripts/fuzz.sh

check-format:
	@scripts/test.sh format

format:
	@git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.def' | xargs clang-format-14 -i

tidy:
	@scripts/tidy.sh

clean:
	rm -rf build
