/* SPDX-License-Identifier: Apache-2.0 */
/* config - see config.h: one table for flags, file keys, defaults and --help.
 * isolad, before the loop runs (and once more for SIGHUP). */
#include "config.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_BYTES_MAX 65536
#define CONFIG_FILE      "/etc/isola/isolad.json"

enum kind { TEXT, PATH, FOLDER, NUMBER, SIZE, BOOL, LEVEL };

struct setting {
	const char *name;
	const char *value; /* what --help calls the argument */
	enum kind kind;
	size_t offset;
	const char *fallback;
	int64_t min, max;    /* NUMBER, SIZE */
	const char *choices; /* TEXT: "a|b", or NULL */
	bool reload;         /* SIGHUP takes it */
	bool flag_only;
	const char *help;
};

#define AT(field) .offset = offsetof(struct config, field)

static const struct setting settings[] = {
	{ "config", "FILE", PATH, AT(file), .fallback = CONFIG_FILE, .flag_only = true,
	  .help = "settings as JSON; flags win over it" },
	{ "state", "DIR", FOLDER, AT(state), .fallback = "/var/lib/isola",
	  .help = "images, containers, logs; survives reboots" },
	{ "run", "DIR", FOLDER, AT(run), .fallback = "/run/isola",
	  .help = "sockets and records of what runs; on a tmpfs" },
	{ "socket", "PATH", PATH, AT(socket), .fallback = "",
	  .help = "socket of the API (default: isola.sock in the run folder)" },
	{ "group", "NAME", TEXT, AT(group), .fallback = "",
	  .help = "group that may use the socket (default: isola if it exists)" },
	{ "cgroup", "PARENT", TEXT, AT(cgroup), .fallback = "",
	  .help = "cgroup to put containers in (default: below the one that systemd "
		  "delegates, or /isola)" },
	{ "keeper", "PATH", PATH, AT(keeper), .fallback = "",
	  .help = "the isola-keeper program (default: beside isolad, or in libexec)" },
	{ "vmm", "PATH", PATH, AT(vmm), .fallback = "",
	  .help = "the isola-vmm program (default: beside isolad, or in libexec)" },
	{ "resolver", "PATH", PATH, AT(resolver), .fallback = "",
	  .help = "the isola-resolver program (default: beside isolad, or in libexec)" },
	{ "image-helper", "PATH", PATH, AT(image_helper), .fallback = "",
	  .help = "the isola-image program (default: beside isolad, or in libexec)" },
	{ "registries", "FILE", PATH, AT(registries), .fallback = "",
	  .help = "default, mirrors, certificates and plain http of registries (default: "
		  "/etc/isola/registries.json, if it exists)" },
	{ "log-level", "LEVEL", LEVEL, AT(log_level), .fallback = "info", .reload = true,
	  .help = "error, warn, info or debug" },
	{ "userns-first", "ID", NUMBER, AT(userns_first), .fallback = "1048576", .min = 65536,
	  .max = INT32_MAX, .help = "first host id for containers' user namespaces" },
	{ "userns-ranges", "N", NUMBER, AT(userns_ranges), .fallback = "16384", .min = 1,
	  .max = 32767, .help = "how many ranges of 65536 ids there are: one a container" },
	{ "default-log-driver", "NAME", TEXT, AT(default_log_driver), .fallback = "json-file",
	  .choices = "json-file|none", .reload = true, .help = "json-file or none" },
	{ "default-log-max-size", "SIZE", SIZE, AT(default_log_max_size), .fallback = "10m",
	  .min = 4096, .max = INT64_MAX, .reload = true,
	  .help = "a log file is rotated beyond it" },
	{ "default-log-max-file", "N", NUMBER, AT(default_log_max_file), .fallback = "3", .min = 1,
	  .max = 100, .reload = true, .help = "log files kept, the current one included" },
	{ "default-stop-timeout", "SECONDS", NUMBER, AT(default_stop_timeout), .fallback = "10",
	  .min = 0, .max = 86400, .reload = true, .help = "from the stop signal to SIGKILL" },
	{ "default-shm-size", "SIZE", SIZE, AT(default_shm_size), .fallback = "64m", .min = 4096,
	  .max = INT64_MAX, .reload = true, .help = "size of /dev/shm" },
	{ "default-pids-limit", "N", NUMBER, AT(default_pids_limit), .fallback = "0", .min = 0,
	  .max = INT32_MAX, .reload = true, .help = "most processes in a container; 0 = no limit" },
	{ "default-init", "BOOL", BOOL, AT(default_init), .fallback = "false", .reload = true,
	  .help = "run payloads under a small init that reaps" },
	/* Off as in Docker: su, sudo and ping of an image are set-user-id programs,
	 * and the root they become is that of the container's user namespace. */
	{ "default-no-new-privileges", "BOOL", BOOL, AT(default_no_new_privileges),
	  .fallback = "false", .reload = true,
	  .help = "set-user-id programs gain nothing, as with --security-opt" },
	{ "default-network", "MODE", TEXT, AT(default_network), .fallback = "bridge",
	  .choices = "bridge|none|host", .reload = true,
	  .help = "bridge: an address behind isolad's bridge; none: only a loopback of its "
		  "own; host" },
	{ "default-isolation", "WALL", TEXT, AT(default_isolation), .fallback = "container",
	  .choices = "container|vm|auto", .reload = true,
	  .help = "vm: each container in a microVM; auto: those that pierce a container's wall" },
	{ "isolation-policy", "FILE", PATH, AT(isolation_policy), .fallback = "", .reload = true,
	  .help = "walls prescribed for images, by name or label (default: "
		  "/etc/isola/isolation.json, if it exists)" },
	{ "guest-kernel", "FILE", PATH, AT(guest_kernel), .fallback = "",
	  .help = "kernel of microVMs that run images (default: guest/kernel in the state "
		  "folder)" },
	{ "guest-init", "PATH", PATH, AT(guest_init), .fallback = "",
	  .help = "the isola-init program of guests (default: beside isolad, or in libexec)" },
	{ "guest-root", "KIND", TEXT, AT(guest_root), .fallback = "auto",
	  .choices = "auto|erofs|virtiofs", .reload = true,
	  .help = "what gives an image's microVM its root: erofs, a file whose pages all of them "
		  "share; virtiofs; auto: erofs where it can be had soon and keeps hard links" },
	{ "guest-boot-timeout", "SECONDS", NUMBER, AT(guest_boot_timeout), .fallback = "30",
	  .min = 1, .max = 3600, .reload = true,
	  .help = "a guest whose init has not spoken by then is given up" },
	{ "default-userns", "MODE", TEXT, AT(default_userns), .fallback = "private",
	  .choices = "private|host", .reload = true,
	  .help = "private: each container has ids of its own; host: root is root" },
};

#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* ---- values ---- */

static int set_text(struct config *c, const struct setting *s, const char *text)
{
	char **at = (char **)((char *)c + s->offset);
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t n = strlen(text);
	for (const char *p = choices; p && n; p = strchr(p, '|'), p = p ? p + 1 : NULL)
		if (!strncmp(p, text, n) && (p[n] == '|' || p[n] == '\0'))
			return true;
	return !choices;
}

/* Relative names count from where isolad was started. */
static int set_path(struct config *c, const struct setting *s, const char *text)
{
	char joined[PATH_MAX], clean[PATH_MAX];
	if (!*text)
		return s->kind == FOLDER ? -EINVAL : set_text(c, s, text);
	int n = snprintf(joined, sizeof(joined), "%s", text);
	if (text[0] != '/') {
		if (!getcwd(joined, sizeof(joined)))
			return -errno;
		size_t len = strlen(joined);
		n = snprintf(joined + len, sizeof(joined) - len, "/%s", text) + (int)len;
	}
	if (n >= (int)sizeof(joined))
		return -ENAMETOOLONG;
	int rc = path_clean(joined, clean, sizeof(clean));
	return rc < 0 ? rc : set_text(c, s, clean);
}

static int set_bool(struct config *c, const struct setting *s, const char *text)
{
	bool yes = !strcmp(text, "true");
	if (!yes && strcmp(text, "false"))
		return -EINVAL;
	*(bool *)((char *)c + s->offset) = yes;
	return 0;
}

static int set_number(struct config *c, const struct setting *s, const char *text)
{
	int64_t v;
	int rc = s->kind == SIZE ? num_parse_size(text, 0, &v) : num_parse_i64(text, &v);
	if (rc == 0 && (v < s->min || v > s->max))
		rc = -ERANGE;
	if (rc == 0)
		*(int64_t *)(void *)((char *)c + s->offset) = v;
	return rc;
}

static int set(struct config *c, const struct setting *s, const char *text, const char *where,
	       struct err *err)
{
	int rc = 0;
	switch (s->kind) {
	case TEXT:
		rc = is_choice(s->choices, text) ? set_text(c, s, text) : -EINVAL;
		break;
	case PATH:
	case FOLDER:
		rc = set_path(c, s, text);
		break;
	case NUMBER:
	case SIZE:
		rc = set_number(c, s, text);
		break;
	case BOOL:
		rc = set_bool(c, s, text);
		break;
	case LEVEL:
		rc = log_level_parse(text, (enum log_level *)(void *)((char *)c + s->offset));
		break;
	}
	if (rc == -ERANGE)
		return err_set(err, EINVAL, "%s%s: \"%.64s\" is not between %lld and %lld", where,
			       s->name, text, (long long)s->min, (long long)s->max);
	if (rc < 0)
		return err_set(err, -rc, "%s%s: \"%.64s\" is not %s", where, s->name, text,
			       s->choices ? s->choices : s->help);
	return 0;
}

/* ---- the file ---- */

static const struct setting *find(const char *name, size_t len)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strlen(settings[i].name) == len && !strncmp(settings[i].name, name, len))
			return &settings[i];
	return NULL;
}

static int set_from_json(struct config *c, const char *key, json_object *v, const char *where,
			 struct err *err)
{
	const struct setting *s = find(key, strlen(key));
	if (!s || s->flag_only)
		return err_set(err, EINVAL, "%sunknown setting \"%.64s\"", where, key);
	enum json_type type = json_object_get_type(v);
	bool fits = type == json_type_string ||
		    (type == json_type_int && (s->kind == NUMBER || s->kind == SIZE)) ||
		    (type == json_type_boolean && s->kind == BOOL);
	if (!fits || (type == json_type_string && (s->kind == NUMBER || s->kind == BOOL)))
		return err_set(err, EINVAL, "%s%s: wrong type, it must be %s", where, s->name,
			       s->kind == BOOL     ? "true or false"
			       : s->kind == NUMBER ? "a whole number"
						   : "a string");
	return set(c, s, json_object_get_string(v), where, err);
}

static int load_file(struct config *c, bool must_exist, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	int rc = json_read_file(AT_FDCWD, c->file, CONFIG_BYTES_MAX, &doc, err);
	if (rc == -ENOENT && !must_exist)
		return 0;
	if (rc < 0)
		return err_prefix(err, "config file");
	char where[PATH_MAX + 2];
	(void)snprintf(where, sizeof(where), "%s: ", c->file);
	if (!json_object_is_type(doc, json_type_object))
		return err_set(err, EINVAL, "%sit must hold one object", where);
	json_object_object_foreach (doc, key, v) {
		rc = set_from_json(c, key, v, where, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- flags ---- */

struct flag {
	const struct setting *setting; /* NULL: help or version */
	const char *value;
	char letter;
};

/* One flag at argv[*i]; moves *i to its last word. */
static int next_flag(int argc, char **argv, int *i, struct flag *ret, struct err *err)
{
	const char *word = argv[*i];
	*ret = (struct flag){ 0 };
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		ret->letter = 'h';
	if (!strcmp(word, "--version"))
		ret->letter = 'v';
	if (ret->letter)
		return 0;
	if (strncmp(word, "--", 2) || !word[2])
		return err_set(err, EINVAL, "unexpected argument \"%.64s\": see isolad --help",
			       word);
	size_t len = strcspn(word + 2, "=");
	ret->setting = find(word + 2, len);
	if (!ret->setting)
		return err_set(err, EINVAL, "unknown flag --%.*s: see isolad --help",
			       (int)(len > 64 ? 64 : len), word + 2);
	if (word[2 + len] == '=')
		ret->value = word + 2 + len + 1;
	else if (ret->setting->kind == BOOL)
		ret->value = "true";
	else if (*i + 1 < argc)
		ret->value = argv[++*i];
	else
		return err_set(err, EINVAL, "flag --%s needs a value: %s", ret->setting->name,
			       ret->setting->value);
	return 0;
}

static void print_help(void)
{
	puts("Usage: isolad [FLAG...]\n\n"
	     "Runs OCI images as containers and serves the Docker Engine API on a Unix socket.\n"
	     "Stopping isolad stops no container: start it again and it goes on with them.\n\n"
	     "Flags (each but --config is also a key of the config file):");
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];
		char left[64];
		(void)snprintf(left, sizeof(left), s->kind == BOOL ? "--%s[=%s]" : "--%s %s",
			       s->name, s->value);
		printf("  %-36s %s", left, s->help);
		if (*s->fallback)
			printf(" [%s]", s->fallback);
		putchar('\n');
	}
	puts("  --help, -h                           this text\n"
	     "  --version                            the version\n\n"
	     "Signals: SIGTERM ends isolad, SIGHUP reads the config file again.\n\n"
	     "Examples:\n"
	     "  isolad\n"
	     "  isolad --state /srv/isola --default-log-max-size 50m\n"
	     "  isolad --state /tmp/a/state --run /tmp/a/run --cgroup isola-a   # a second one\n"
	     "  docker -H unix:///run/isola/isola.sock ps\n\n"
	     "More: isolad(8)");
}

/* Looks at all flags first: an error must win over half a start, and --config
 * must be known before the file is read. */
static int scan_flags(struct config *c, int argc, char **argv, enum config_action *ret_action,
		      bool *ret_config, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		struct flag f;
		int rc = next_flag(argc, argv, &i, &f, err);
		if (rc < 0)
			return rc;
		if (f.letter == 'h')
			print_help();
		if (f.letter == 'v')
			puts("isolad " ISOLA_VERSION);
		if (f.letter) {
			*ret_action = CONFIG_EXIT;
			return 0;
		}
		if (f.setting->flag_only) {
			*ret_config = true;
			rc = set(c, f.setting, f.value, "--", err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int apply_flags(struct config *c, int argc, char **argv, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		struct flag f;
		int rc = next_flag(argc, argv, &i, &f, err);
		if (rc == 0)
			rc = set(c, f.setting, f.value, "--", err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int finish(struct config *c, struct err *err)
{
	if (*c->socket)
		return 0;
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/isola.sock", c->run) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "run: the name is too long");
	const struct setting *s = find("socket", strlen("socket"));
	return s ? set_text(c, s, path) : -EINVAL;
}

int config_load(struct config *config, int argc, char **argv, enum config_action *ret_action,
		struct err *err)
{
	struct config c = { 0 };
	bool named = false;
	enum config_action action = CONFIG_RUN;
	int rc = 0;
	for (size_t i = 0; i < N_SETTINGS && rc == 0; i++)
		rc = settings[i].kind == PATH && !*settings[i].fallback
			     ? set_text(&c, &settings[i], "")
			     : set(&c, &settings[i], settings[i].fallback, "", err);
	if (rc == 0)
		rc = scan_flags(&c, argc, argv, &action, &named, err);
	if (rc == 0 && action == CONFIG_RUN)
		rc = load_file(&c, named, err);
	if (rc == 0 && action == CONFIG_RUN)
		rc = apply_flags(&c, argc, argv, err);
	if (rc == 0)
		rc = finish(&c, err);
	if (rc < 0) {
		config_fini(&c);
		return rc;
	}
	*config = c;
	*ret_action = action;
	return 0;
}

/* ---- reload ---- */

static bool is_same(const struct config *a, const struct config *b, const struct setting *s)
{
	const char *pa = (const char *)a + s->offset, *pb = (const char *)b + s->offset;
	switch (s->kind) {
	case TEXT:
	case PATH:
	case FOLDER:
		return !strcmp(*(char *const *)(const void *)pa, *(char *const *)(const void *)pb);
	case NUMBER:
	case SIZE:
		return !memcmp(pa, pb, sizeof(int64_t));
	case BOOL:
		return !memcmp(pa, pb, sizeof(bool));
	case LEVEL:
		return !memcmp(pa, pb, sizeof(enum log_level));
	}
	return false;
}

static void swap(struct config *a, struct config *b, const struct setting *s)
{
	char tmp[sizeof(int64_t)];
	size_t n = s->kind == BOOL    ? sizeof(bool)
		   : s->kind == LEVEL ? sizeof(enum log_level)
				      : sizeof(int64_t);
	char *pa = (char *)a + s->offset, *pb = (char *)b + s->offset;
	memcpy(tmp, pa, n);
	memcpy(pa, pb, n);
	memcpy(pb, tmp, n);
}

int config_reload(struct config *config, int argc, char **argv, struct err *err)
{
	struct config fresh;
	enum config_action action;
	int rc = config_load(&fresh, argc, argv, &action, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];
		if (is_same(config, &fresh, s))
			continue;
		if (s->reload)
			swap(config, &fresh, s);
		else
			log_warn(NULL, "the new value of %s needs a restart of isolad", s->name);
	}
	config_fini(&fresh);
	return 0;
}

void config_fini(struct config *c)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];
		if (s->kind == TEXT || s->kind == PATH || s->kind == FOLDER)
			free(*(char **)((char *)c + s->offset));
	}
	*c = (struct config){ 0 };
}
