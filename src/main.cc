// SPDX-License-Identifier: GPL-3.0-or-later
// The program: hands its arguments to the command line layer.
#include "cli/command.h"

int main(int argc, char** argv) { return s3crate::cli::run_program(argc, argv); }
