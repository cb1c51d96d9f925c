/* SPDX-License-Identifier: Apache-2.0 */
/* login - log-ins at registries: asked for, tried by the daemon, kept as Docker's client
 * keeps them (docker_config.h). Runs in ctrctl. */
#include "login.h"

#include "docker_config.h"
#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_BYTES_MAX (16 * 1024)

const struct flag flags_login[] = {
	{ "username", 'u', FLAG_STR, "name", "of the account (default: asked for)" },
	{ "password", 'p', FLAG_STR, "text", "others can see it: rather use --password-stdin" },
	{ "password-stdin", 0, FLAG_BOOL, NULL, "read the password from standard input" },
	{ .name = NULL },
};

/* ---- the terminal ---- */

static struct termios shown;

static void on_signal(int signo)
{
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &shown);
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
}

/* A line without its end; owned. */
static char *read_line(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, stdin);
	if (n <= 0) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

/* The prompt comes once what is typed does not show, and what was typed before is gone. */
static char *read_hidden(const char *prompt)
{
	struct termios hidden;
	void (*old_int)(int) = NULL, (*old_term)(int) = NULL;
	bool tty = tcgetattr(STDIN_FILENO, &shown) == 0;
	if (tty) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		old_int = signal(SIGINT, on_signal);
		old_term = signal(SIGTERM, on_signal);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	(void)fputs(prompt, stderr);
	char *line = read_line();
	if (tty) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		(void)signal(SIGINT, old_int);
		(void)signal(SIGTERM, old_term);
		(void)fputc('\n', stderr);
	}
	return line;
}

static int ask(struct credentials *c, struct err *err)
{
	if (!isatty(STDIN_FILENO))
		return err_set(err, EINVAL,
			       "standard input is no terminal: give --username and "
			       "--password-stdin");
	if (!c->user) {
		(void)fputs("Username: ", stderr);
		c->user = read_line();
	}
	if (!c->user || !*c->user)
		return err_set(err, EINVAL, "a user name is needed");
	c->password = read_hidden("Password: ");
	return c->password && *c->password ? 0 : err_set(err, EINVAL, "a password is needed");
}

/* ---- log in ---- */

static int read_secret(struct credentials *c, struct err *err)
{
	char *text = calloc(1, SECRET_BYTES_MAX + 1);
	c->password = text;
	ssize_t n = text ? fd_read_all(STDIN_FILENO, text, SECRET_BYTES_MAX) : -ENOMEM;
	if (n < 0)
		return err_rc(err, (int)n, "cannot read the password");
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		text[--n] = '\0';
	return *text && !memchr(text, '\0', (size_t)n)
		       ? 0
		       : err_set(err, EINVAL, "there is no password on standard input");
}

/* What the command line gives. */
static int from_flags(struct args *args, struct credentials *c, struct err *err)
{
	const char *user = args_str(args, "username", NULL);
	const char *password = args_str(args, "password", NULL);
	bool from_stdin = args_bool(args, "password-stdin");
	if (from_stdin && password)
		return err_set(err, EINVAL, "--password and --password-stdin exclude each other");
	if (from_stdin && !user)
		return err_set(err, EINVAL, "--password-stdin needs --username");
	if (password)
		(void)fputs("WARNING: others can see what --password says; use "
			    "--password-stdin\n",
			    stderr);
	c->user = user ? strdup(user) : NULL;
	c->password = password ? strdup(password) : NULL;
	return from_stdin ? read_secret(c, err) : 0;
}

/* Has the daemon try; a registry may answer with a token to be kept instead. */
static int check(struct cli *cli, struct credentials *c, const char *key, struct err *err)
{
	cleanup_json json_object *body = json_object_new_object(), *answer = NULL;
	if (c->identity) {
		json_add_str(body, "identitytoken", c->identity);
	} else {
		json_add_str(body, "username", c->user);
		json_add_str(body, "password", c->password);
	}
	json_add_str(body, "serveraddress", key);
	int rc = client_call(cli_client(cli), "POST", "/auth", body, &answer, err);
	if (rc < 0)
		return rc;
	const char *token = json_str_or(answer, "IdentityToken", "");
	if (*token) {
		free(c->identity);
		c->identity = strdup(token);
		if (c->password)
			explicit_bzero(c->password, strlen(c->password));
		free(take_ptr(c->password));
	}
	puts(json_str_or(answer, "Status", "Login Succeeded"));
	return 0;
}

/* 1 = what is stored still works. */
static int try_stored(struct cli *cli, const struct docker_config *config, const char *key)
{
	cleanup_credentials struct credentials c = { NULL };
	struct err err = ERR_INIT;
	int rc = credentials_find(config, key, &c, &err);
	if (rc == 0)
		return 0;
	if (rc > 0) {
		(void)fputs("Authenticating with existing credentials...\n", stderr);
		rc = check(cli, &c, key, &err);
	}
	if (rc < 0)
		(void)fprintf(stderr, "Login did not succeed: %s\n", err.text);
	return rc == 0;
}

/* The registry that names without a host mean. */
static void default_server(struct cli *cli, char *ret, size_t size)
{
	cleanup_json json_object *info = NULL;
	struct err err = ERR_INIT;
	(void)client_call(cli_client(cli), "GET", "/info", NULL, &info, &err);
	docker_config_key(json_str_or(info, "IndexServerAddress", ""), ret, size);
}

static int keep(struct docker_config *config, const char *key, const struct credentials *c,
		struct err *err)
{
	bool plain = false;
	int rc = credentials_keep(config, key, c, &plain, err);
	if (rc == 0 && plain)
		(void)fprintf(stderr,
			      "WARNING: the log-in is stored unencrypted in %s;\n"
			      "a credential helper (\"credsStore\" in that file) keeps it safer\n",
			      config->path);
	return rc;
}

int verb_login(struct cli *cli, struct args *args)
{
	cleanup_docker_config struct docker_config config = { NULL };
	cleanup_credentials struct credentials c = { NULL };
	struct err err = ERR_INIT;
	char key[512];
	int rc = docker_config_read(&config, &err);
	if (rc == 0)
		rc = from_flags(args, &c, &err);
	if (rc < 0)
		return cli_fail(cli, 1, &err);
	if (args->argc)
		docker_config_key(args->argv[0], key, sizeof(key));
	else
		default_server(cli, key, sizeof(key));
	if (!c.user && !c.password && try_stored(cli, &config, key))
		return 0;
	if (!c.user || !c.password)
		rc = ask(&c, &err);
	if (rc == 0)
		rc = check(cli, &c, key, &err);
	if (rc == 0)
		rc = keep(&config, key, &c, &err);
	return rc < 0 ? cli_fail(cli, 1, &err) : 0;
}

int verb_logout(struct cli *cli, struct args *args)
{
	cleanup_docker_config struct docker_config config = { NULL };
	struct err err = ERR_INIT;
	char key[512];
	int rc = docker_config_read(&config, &err);
	if (args->argc)
		docker_config_key(args->argv[0], key, sizeof(key));
	else if (rc == 0)
		default_server(cli, key, sizeof(key));
	if (rc == 0)
		rc = credentials_forget(&config, key, &err);
	if (rc < 0)
		return cli_fail(cli, 1, &err);
	printf(rc ? "Removing login credentials for %s\n" : "Not logged in to %s\n", key);
	return 0;
}

/* ---- for pull, push and build ---- */

/* The first part of a name is a registry when it looks like a host (as Docker has it). */
static bool has_host(const char *image)
{
	const char *slash = strchr(image, '/');
	size_t n = slash ? (size_t)(slash - image) : 0;
	return slash && (strcspn(image, ".:ABCDEFGHIJKLMNOPQRSTUVWXYZ") < n ||
			 (n == 9 && !strncmp(image, "localhost", n)));
}

int login_attach(struct cli *cli, struct client *c, const char *image, struct err *err)
{
	cleanup_docker_config struct docker_config config = { NULL };
	cleanup_credentials struct credentials found = { NULL };
	struct err own = ERR_INIT;
	char key[512], host[512];
	(void)client_set_registry_auth(c, NULL);
	int rc = docker_config_read(&config, &own);
	(void)snprintf(host, sizeof(host), "%.*s", (int)strcspn(image, "/"), image);
	if (has_host(image))
		docker_config_key(host, key, sizeof(key));
	else if (rc == 0 && json_object_object_length(config.root))
		default_server(cli, key, sizeof(key));
	else
		(void)snprintf(key, sizeof(key), "%s", HUB_KEY);
	if (rc == 0)
		rc = credentials_find(&config, key, &found, &own);
	/* What is public can be had without. */
	if (rc < 0)
		(void)fprintf(stderr, "WARNING: no log-in is used: %s\n", own.text);
	if (rc <= 0)
		return 0;
	cleanup_free char *field = credentials_field(&found, key);
	if (!field || client_set_registry_auth(c, field) < 0)
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}

int login_attach_all(struct client *c, struct err *err)
{
	cleanup_docker_config struct docker_config config = { NULL };
	cleanup_free char *field = NULL;
	struct err own = ERR_INIT;
	if (docker_config_read(&config, &own) == 0)
		field = credentials_all(&config, &own);
	if (own.code)
		(void)fprintf(stderr, "WARNING: not every log-in is used: %s\n", own.text);
	if (client_set_registry_config(c, field) < 0)
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}
