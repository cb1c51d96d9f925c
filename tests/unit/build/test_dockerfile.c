/* SPDX-License-Identifier: Apache-2.0 */
/* dockerfile - lines become instructions, and what is wrong has its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/dockerfile.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "LINE NAME|args|flags\n" of all instructions. */
static char *shown(const struct dockerfile *d)
{
	struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < d->n; i++) {
		const struct step *s = &d->steps[i];
		strbuf_printf(&b, "%u %s|%s", s->line, s->name, s->args);
		if (s->from)
			strbuf_printf(&b, "|from=%s", s->from);
		if (s->chown)
			strbuf_printf(&b, "|chown=%s", s->chown);
		if (s->chmod)
			strbuf_printf(&b, "|chmod=%s", s->chmod);
		if (s->platform)
			strbuf_printf(&b, "|platform=%s", s->platform);
		strbuf_putc(&b, '\n');
	}
	return strbuf_take(&b);
}

static void dockerfile_parse__takes_lines_apart(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "FROM a", "1 FROM|a\n" },
		{ "from a\r\nrun b\r\n", "1 FROM|a\n2 RUN|b\n" },
		{ "\xef\xbb\xbf"
		  "FROM a\n",
		  "1 FROM|a\n" },
		{ "# comment\n\n  FROM  a  AS  b  \n\t# more\n\tRUN x\n",
		  "3 FROM|a  AS  b\n5 RUN|x\n" },
		{ "FROM a\nRUN b \\\n  c\\\n# no\n\n  # no\n\td\nCMD e",
		  "1 FROM|a\n2 RUN|b   c\td\n8 CMD|e\n" },
		{ "FROM a\nRUN b \\   \n c", "1 FROM|a\n2 RUN|b  c\n" },
		{ "FROM a\nRUN b \\\\\nRUN c", "1 FROM|a\n2 RUN|b \\\\\n3 RUN|c\n" },
		{ "FROM a\nRUN b \\", "1 FROM|a\n2 RUN|b\n" },
		{ "FROM a\nRUN \\\n b", "1 FROM|a\n2 RUN|b\n" },
		{ "# escape=`\nFROM a\nRUN b `\n c\\\nRUN d", "2 FROM|a\n3 RUN|b  c\\\n5 RUN|d\n" },
		{ "#syntax=docker/dockerfile:1\n# Escape = ` \nFROM a\nRUN b `\n c",
		  "3 FROM|a\n4 RUN|b  c\n" },
		/* Behind a comment it is one. */
		{ "# a comment\n# escape=`\nFROM a\nRUN b \\\n c", "3 FROM|a\n4 RUN|b  c\n" },
		{ "\n# escape=`\nFROM a\nRUN b \\\n c", "3 FROM|a\n4 RUN|b  c\n" },
		{ "ARG V=1\nFROM a:$V", "1 ARG|V=1\n2 FROM|a:$V\n" },
		{ "FROM --platform=linux/arm64 a", "1 FROM|a|platform=linux/arm64\n" },
		{ "FROM a\nCOPY --from=b --chown=1:2 --chmod=644 c d",
		  "1 FROM|a\n2 COPY|c d|from=b|chown=1:2|chmod=644\n" },
		{ "FROM a\nADD --chown=x a b", "1 FROM|a\n2 ADD|a b|chown=x\n" },
		{ "FROM a\nRUN -- x", "1 FROM|a\n2 RUN|x\n" },
		{ "FROM a\nRUN - --x", "1 FROM|a\n2 RUN|- --x\n" },
		{ "FROM a\nHEALTHCHECK --interval=1s CMD x",
		  "1 FROM|a\n2 HEALTHCHECK|--interval=1s CMD x\n" },
		{ "FROM a\nENTRYPOINT --x", "1 FROM|a\n2 ENTRYPOINT|--x\n" },
		{ "FROM a\nONBUILD COPY --from=x a b", "1 FROM|a\n2 ONBUILD|COPY --from=x a b\n" },
		{ "FROM a\nRUN [\"a\", \"b\"]", "1 FROM|a\n2 RUN|[\"a\", \"b\"]\n" },
		{ "FROM a\nRUN cat <<< x; echo '<<EOF' \"a <<B\" $((1<<2))",
		  "1 FROM|a\n2 RUN|cat <<< x; echo '<<EOF' \"a <<B\" $((1<<2))\n" },
		{ "FROM a\nMAINTAINER x <y@z>", "1 FROM|a\n2 MAINTAINER|x <y@z>\n" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_dockerfile struct dockerfile d = { 0 };
		struct err err = ERR_INIT;
		if (dockerfile_parse(rows[i].text, strlen(rows[i].text), "D", &d, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		char *got = shown(&d);
		assert_string_equal(got, rows[i].want);
		free(got);
	}
}

static void dockerfile_parse__names_the_line(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "the Dockerfile (D) cannot be empty" },
		{ "# x\n\n", "cannot be empty" },
		{ "ARG a\n", "D: it has no FROM" },
		{ "RUN a\n", "D:1: no build stage" },
		{ "FROM a\n\nFOO b\n", "D:3: unknown instruction: FOO" },
		{ "FROM a\nRUN b \\\n c\nFOO", "D:4: unknown instruction: FOO" },
		{ "FROM a\nRUN", "D:2: RUN requires at least one argument" },
		{ "FROM a\nCMD", "D:2: CMD requires" },
		{ "FROM", "D:1: FROM requires" },
		{ "FROM a b", "D:1: FROM requires either one or three" },
		{ "FROM a as b c", "D:1: FROM requires" },
		{ "FROM a AS 1x", "D:1: invalid name for build stage: \"1x\"" },
		{ "FROM a\nRUN --mount=type=cache x", "D:2: RUN --mount is not supported" },
		{ "FROM a\nCOPY --link a b", "D:2: COPY --link is not supported" },
		{ "FROM a\nADD --from=x a b", "D:2: ADD --from is not supported" },
		{ "FROM a\nCOPY --from a b", "D:2: COPY --from needs a value" },
		{ "FROM a\nCOPY --from= a b", "D:2: COPY --from needs a value" },
		{ "FROM a\nCOPY --from=x --from=y a b", "D:2: COPY --from is given twice" },
		{ "FROM a\nENV --x=y a", "D:2: ENV --x is not supported" },
		{ "FROM a\nRUN cat <<EOF\nx\nEOF\n", "D:2: RUN: here documents" },
		{ "FROM a\nCOPY <<-'E' /x\n", "D:2: COPY: here documents" },
		{ "FROM a\nRUN 3<<\"X\" x\n", "D:2: RUN: here documents" },
		{ "#escape=x\nFROM a", "D:1: invalid escape \"x\"" },
		{ "#escape=\\\n#escape=`\nFROM a", "D:2: only one escape" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_dockerfile struct dockerfile d = { 0 };
		struct err err = ERR_INIT;
		int rc = dockerfile_parse(rows[i].text, strlen(rows[i].text), "D", &d, &err);
		if (rc != -EINVAL || !strstr(err.text, rows[i].says))
			fail_msg("%s: %d %s", rows[i].text, rc, err.text);
	}
}

static void dockerfile_parse__is_bounded(void **state)
{
	(void)state;
	cleanup_dockerfile struct dockerfile d = { 0 }, e = { 0 };
	struct strbuf b = STRBUF_INIT;
	struct err err = ERR_INIT;
	strbuf_puts(&b, "FROM a\n");
	for (int i = 0; i < DOCKERFILE_STEPS_MAX; i++)
		strbuf_puts(&b, "RUN x\n");
	assert_int_equal(dockerfile_parse(b.text, b.len, "D", &d, &err), -E2BIG);
	assert_non_null(strstr(err.text, "D:1001: more than 1000 instructions"));
	assert_int_equal(dockerfile_parse(b.text, DOCKERFILE_BYTES_MAX + 1, "D", &e, &err), -EFBIG);
	assert_int_equal(dockerfile_parse("FROM a\0b", 8, "D", &e, &err), -EINVAL);
	strbuf_fini(&b);
}

static void dockerfile_parse_trigger__is_one_instruction(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "RUN x", NULL },
		{ "COPY --from=a b c", NULL },
		{ "FROM x", "ONBUILD FROM is not allowed" },
		{ "ONBUILD RUN x", "ONBUILD ONBUILD is not allowed" },
		{ "", "is empty" },
		{ "BAR", "unknown instruction" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_dockerfile struct dockerfile d = { 0 };
		struct err err = ERR_INIT;
		int rc = dockerfile_parse_trigger(rows[i].text, "T", '\\', &d, &err);
		assert_int_equal(rc, rows[i].says ? -EINVAL : 0);
		assert_true(rows[i].says ? strstr(err.text, rows[i].says) != NULL : d.n == 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dockerfile_parse__takes_lines_apart),
		cmocka_unit_test(dockerfile_parse__names_the_line),
		cmocka_unit_test(dockerfile_parse__is_bounded),
		cmocka_unit_test(dockerfile_parse_trigger__is_one_instruction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
