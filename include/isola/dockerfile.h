/* SPDX-License-Identifier: Apache-2.0 */
/* dockerfile - the text of a Dockerfile as a list of instructions (Docker's
 * Dockerfile reference, of the classic builder). Pure text, of strangers: bounded,
 * and every error names the line.
 *
 * Taken apart here: parser directives (# escape=; others are comments), comments,
 * continued lines, the instruction's name, its --flags, and which instructions may
 * come where. What an argument means is left to who carries the step out. Here
 * documents and flags that are not in the table of dockerfile.c are errors. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>

#define DOCKERFILE_BYTES_MAX (4UL * 1024 * 1024)
#define DOCKERFILE_STEPS_MAX 1000

enum instruction {
	INSTR_ADD,
	INSTR_ARG,
	INSTR_CMD,
	INSTR_COPY,
	INSTR_ENTRYPOINT,
	INSTR_ENV,
	INSTR_EXPOSE,
	INSTR_FROM,
	INSTR_HEALTHCHECK,
	INSTR_LABEL,
	INSTR_MAINTAINER,
	INSTR_ONBUILD,
	INSTR_RUN,
	INSTR_SHELL,
	INSTR_STOPSIGNAL,
	INSTR_USER,
	INSTR_VOLUME,
	INSTR_WORKDIR,
};

struct step {
	enum instruction kind;
	const char *name; /* in capitals; static */
	unsigned int line;
	char *text; /* the whole instruction in one line, as Docker shows it; owned */
	char *args; /* behind name and flags; owned */
	/* Flags, NULL where there is none; owned. */
	char *from, *chown, *chmod, *platform;
};

struct dockerfile {
	struct step *steps; /* owned */
	size_t n;
	char escape; /* '\\' or '`' */
};

/* @ret must be zero. @name: of the file, for errors ("Dockerfile:3: ..."). */
int dockerfile_parse(const char *text, size_t size, const char *name, struct dockerfile *ret,
		     struct err *err);

/* One instruction of an image's ONBUILD: the same without the rule that a FROM
 * comes first. @escape as above. */
int dockerfile_parse_trigger(const char *text, const char *name, char escape,
			     struct dockerfile *ret, struct err *err);

void dockerfile_fini(struct dockerfile *d);
#define cleanup_dockerfile __attribute__((cleanup(dockerfile_fini)))

/* "IMAGE [AS NAME]": copies (owned) of both; *@ret_as NULL when there is no name.
 * -EINVAL for anything else, and for a name that is none. */
int dockerfile_from(const char *args, char **ret_image, char **ret_as, struct err *err);
