/* SPDX-License-Identifier: Apache-2.0 */
/* stack - see stack.h. Foreign trees: in isola-image's jail. */
#include "stack.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "cancel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#define OPAQUE    "trusted.overlay.opaque"
#define LINKS_MAX 40

/* One folder of the tree: its share of each layer that has one, topmost first. */
struct level {
	int *fds;
	size_t n;
};

static void level_fini(struct level *l)
{
	for (size_t i = 0; i < l->n; i++)
		fd_close(&l->fds[i]);
	free(l->fds);
	*l = (struct level){ NULL, 0 };
}

#define cleanup_level __attribute__((cleanup(level_fini)))

/* ---- life ---- */

int stack_of_image(const struct store *s, json_object *record, struct stack *ret, struct err *err)
{
	json_object *layers = json_get(record, "layers");
	size_t n = json_len(layers);
	struct stack st = { .fds = calloc(n ? n : 1, sizeof(int)), .marks = true };
	if (!st.fds)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = n; i-- > 0;) {
		char path[80];
		(void)snprintf(path, sizeof(path), "%.64s/fs", json_item_str(layers, i));
		int fd = path_open_beneath(s->layers_fd, path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0) {
			stack_fini(&st);
			return err_rc(err, fd, "cannot open the layer %.12s", path);
		}
		st.fds[st.n++] = fd;
	}
	*ret = st;
	return 0;
}

int stack_of_folder(int fd, struct stack *ret, struct err *err)
{
	struct stack st = { .fds = calloc(1, sizeof(int)), .n = 1 };
	if (!st.fds) {
		fd_close(&fd);
		return err_set(err, ENOMEM, "out of memory");
	}
	st.fds[0] = fd;
	*ret = st;
	return 0;
}

void stack_fini(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++)
		fd_close(&s->fds[i]);
	free(s->fds);
	*s = (struct stack)STACK_INIT;
}

/* ---- levels ---- */

static bool is_whiteout(const struct stack *s, const struct stat *st)
{
	return s->marks && S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static bool is_opaque(const struct stack *s, int fd)
{
	char c = 0;
	return s->marks && fgetxattr(fd, OPAQUE, &c, 1) == 1 && c == 'y';
}

static int level_root(const struct stack *s, struct level *ret, struct err *err)
{
	struct level l = { calloc(s->n ? s->n : 1, sizeof(int)), 0 };
	if (!l.fds)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < s->n; i++) {
		int fd = fd_dup(s->fds[i]);
		if (fd < 0) {
			level_fini(&l);
			return err_rc(err, fd, "cannot hold a layer");
		}
		l.fds[l.n++] = fd;
	}
	*ret = l;
	return 0;
}

/* Which layer's entry shows: its place in @l, or -ENOENT. */
static int level_find(const struct stack *s, const struct level *l, const char *name,
		      struct stat *ret)
{
	for (size_t i = 0; i < l->n; i++) {
		if (fstatat(l->fds[i], name, ret, AT_SYMLINK_NOFOLLOW) == 0)
			return is_whiteout(s, ret) ? -ENOENT : (int)i;
		if (errno != ENOENT)
			return -errno;
	}
	return -ENOENT;
}

/* Makes @l the folder @name in it. */
static int level_enter(const struct stack *s, struct level *l, const char *name, struct err *err)
{
	struct level in = { calloc(l->n ? l->n : 1, sizeof(int)), 0 };
	int rc = in.fds ? 0 : err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		struct stat st;
		if (fstatat(l->fds[i], name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			rc = err_sys(err, "cannot look at %.200s", name);
			break;
		}
		/* A whiteout, or a file: nothing below it shows. */
		if (!S_ISDIR(st.st_mode))
			break;
		int fd = openat(l->fds[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			rc = err_sys(err, "cannot open the folder %.200s", name);
			break;
		}
		in.fds[in.n++] = fd;
		if (is_opaque(s, fd))
			break;
	}
	if (rc == 0 && in.n == 0)
		rc = err_set(err, ENOTDIR, "%.200s is no folder", name);
	if (rc < 0) {
		level_fini(&in);
		return rc;
	}
	level_fini(l);
	*l = in;
	return 0;
}

/* @path: a folder's, without links. */
static int level_open(const struct stack *s, const char *path, struct level *ret, struct err *err)
{
	char name[NAME_MAX + 1];
	cleanup_level struct level l = { NULL, 0 };
	int rc = level_root(s, &l, err);
	while (rc == 0 && *path) {
		size_t n = strcspn(path, "/");
		if (n > NAME_MAX)
			return err_set(err, ENAMETOOLONG, "a name is too long");
		memcpy(name, path, n);
		name[n] = '\0';
		rc = level_enter(s, &l, name, err);
		path += n;
		path += *path == '/';
	}
	if (rc == 0) {
		*ret = l;
		l = (struct level){ NULL, 0 };
	}
	return rc;
}

/* ---- a path ---- */

struct finder {
	const struct stack *s;
	struct stack_spot *spot;
	char rest[2 * PATH_MAX];
	unsigned int links;
	unsigned int gone; /* components at the path's end that do not exist: only text */
};

static int append(char path[PATH_MAX], const char *name, size_t n, struct err *err)
{
	size_t len = strlen(path);
	if (len + n + 2 > PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	if (len > 0)
		path[len++] = '/';
	memcpy(path + len, name, n);
	path[len + n] = '\0';
	return 0;
}

static void drop_last(char *path)
{
	char *slash = strrchr(path, '/');
	*(slash ? slash : path) = '\0';
}

/* What a link holds comes before the rest. */
static int follow_link(struct finder *f, int dir_fd, const char *name, struct err *err)
{
	char link[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, link, sizeof(link) - 1);
	if (n < 0)
		return err_sys(err, "cannot read the link %.200s", name);
	if (++f->links > LINKS_MAX)
		return err_set(err, ELOOP, "too many links");
	link[n] = '\0';
	size_t rest = strlen(f->rest);
	if ((size_t)n + rest + 2 > sizeof(f->rest))
		return err_set(err, ENAMETOOLONG, "the path is too long");
	memmove(f->rest + n + 1, f->rest, rest + 1);
	memcpy(f->rest, link, (size_t)n);
	f->rest[n] = '/';
	if (link[0] == '/')
		*f->spot->path = '\0';
	return 0;
}

/* Of one component; @more: others follow. */
static int look(struct finder *f, const char *name, bool follow, bool more, struct err *err)
{
	cleanup_level struct level l = { NULL, 0 };
	struct stat st = { 0 };
	int rc = level_open(f->s, f->spot->path, &l, err);
	if (rc < 0)
		return rc;
	int i = level_find(f->s, &l, name, &st);
	if (i == -ENOENT) {
		f->gone = 1;
		return append(f->spot->path, name, strlen(name), err);
	}
	if (i < 0)
		return err_rc(err, i, "cannot look at %.200s", name);
	if (S_ISLNK(st.st_mode) && (follow || more))
		return follow_link(f, l.fds[i], name, err);
	if (more && !S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "%.200s is no folder", name);
	f->spot->st = st;
	return append(f->spot->path, name, strlen(name), err);
}

/* The root, also one of no layers. */
static void stat_root(const struct stack *s, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (s->n == 0 || fstat(s->fds[0], ret) < 0)
		ret->st_mode = S_IFDIR | 0755;
}

/* Of a folder, again, after "..". */
static int stat_again(struct finder *f, struct err *err)
{
	cleanup_level struct level l = { NULL, 0 };
	stat_root(f->s, &f->spot->st);
	if (!*f->spot->path)
		return 0;
	int rc = level_open(f->s, f->spot->path, &l, err);
	if (rc == 0 && fstat(l.fds[0], &f->spot->st) < 0)
		rc = err_sys(err, "cannot look at %.200s", f->spot->path);
	return rc;
}

static int next(struct finder *f, bool follow, struct err *err)
{
	char name[NAME_MAX + 1];
	char *p = f->rest + strspn(f->rest, "/");
	size_t n = strcspn(p, "/");
	if (n > NAME_MAX)
		return err_set(err, ENAMETOOLONG, "a name is too long");
	memcpy(name, p, n);
	name[n] = '\0';
	p += n;
	bool more = p[strspn(p, "/")] != '\0';
	bool slash = *p == '/';
	memmove(f->rest, p, strlen(p) + 1);
	if (!*name || !strcmp(name, "."))
		return 0;
	if (!strcmp(name, "..")) {
		drop_last(f->spot->path);
		f->gone -= f->gone > 0;
		return f->gone ? 0 : stat_again(f, err);
	}
	if (f->gone) {
		f->gone++;
		return append(f->spot->path, name, n, err);
	}
	return look(f, name, follow || slash, more, err);
}

int stack_find(const struct stack *s, const char *path, bool follow, struct stack_spot *ret,
	       struct err *err)
{
	struct finder f = { .s = s, .spot = ret };
	*ret->path = '\0';
	stat_root(s, &ret->st);
	if (strlen(path) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	strcpy(f.rest, path);
	int rc = 0;
	while (rc == 0 && *f.rest)
		rc = next(&f, follow, err);
	ret->exists = !f.gone;
	return rc;
}

/* ---- entries ---- */

static int open_parent(const struct stack *s, const char *path, struct level *ret,
		       const char **ret_name, struct err *err)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	memcpy(dir, path, n);
	dir[n] = '\0';
	*ret_name = slash ? slash + 1 : path;
	return level_open(s, dir, ret, err);
}

int stack_entry(const struct stack *s, const char *path, stack_fn *each, void *arg, struct err *err)
{
	cleanup_level struct level l = { NULL, 0 };
	const char *name = "";
	struct stat st;
	if (!*path) {
		stat_root(s, &st);
		return s->n ? each(arg, s->fds[0], "", "", &st, err) : 0;
	}
	int rc = open_parent(s, path, &l, &name, err);
	if (rc < 0)
		return rc;
	int i = level_find(s, &l, name, &st);
	return i < 0 ? err_rc(err, i, "cannot look at %.200s", path)
		     : each(arg, l.fds[i], name, path, &st, err);
}

struct item {
	size_t layer;
	bool folder;
	char name[];
};

struct items {
	struct item **item;
	size_t n, cap;
};

static void items_fini(struct items *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->item[i]);
	free(list->item);
}

static int items_add(struct items *list, const char *name, size_t layer)
{
	size_t size = strlen(name) + 1;
	struct item *item = malloc(sizeof(*item) + size);
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct item **more = realloc(list->item, cap * sizeof(struct item *));
		if (more) {
			list->item = more;
			list->cap = cap;
		}
	}
	if (!item || list->n == list->cap) {
		free(item);
		return -ENOMEM;
	}
	item->layer = layer;
	item->folder = false;
	memcpy(item->name, name, size);
	list->item[list->n++] = item;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
	int rc = strcmp(x->name, y->name);
	return rc ? rc : x->layer < y->layer ? -1 : x->layer > y->layer;
}

static int list_layer(struct items *list, int fd, size_t layer, uint64_t max, struct err *err)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		fd_close(&copy);
		return err_sys(err, "cannot list a folder");
	}
	struct dirent *e;
	int rc = 0;
	while (rc == 0 && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (list->n >= max)
			rc = err_set(err, EFBIG, "more than %llu entries, the limit",
				     (unsigned long long)max);
		else if (items_add(list, e->d_name, layer) < 0)
			rc = err_set(err, ENOMEM, "out of memory");
	}
	(void)closedir(dir);
	return rc;
}

struct walk {
	const struct stack *s;
	stack_fn *each;
	void *arg;
	uint64_t n, max;
	char path[PATH_MAX];
};

/* The entry that shows of each name; others of the same name are below it. */
static int visit(struct walk *w, const struct level *l, struct items *list, size_t at,
		 struct err *err)
{
	size_t kept = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < list->n; i++) {
		struct item *item = list->item[i];
		struct stat st;
		if (i > 0 && kept > 0 && !strcmp(list->item[kept - 1]->name, item->name)) {
			free(item);
			list->item[i] = NULL;
			continue;
		}
		list->item[i] = NULL;
		list->item[kept++] = item;
		if (cancel_requested())
			return err_set(err, EINTR, "cancelled");
		if (++w->n > w->max)
			return err_set(err, EFBIG, "more than %llu entries, the limit",
				       (unsigned long long)w->max);
		if (fstatat(l->fds[item->layer], item->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, "cannot look at %.200s", item->name);
		if (is_whiteout(w->s, &st))
			continue;
		item->folder = S_ISDIR(st.st_mode);
		rc = append(w->path, item->name, strlen(item->name), err);
		if (rc == 0)
			rc = w->each(w->arg, l->fds[item->layer], item->name, w->path, &st, err);
		if (rc > 0) {
			item->folder = false;
			rc = 0;
		}
		w->path[at] = '\0';
	}
	return rc;
}

/* The folders are entered when this one's descriptors are closed. */
static int walk_folder(struct walk *w, struct err *err)
{
	struct items list = { 0 };
	struct level l = { NULL, 0 };
	size_t at = strlen(w->path);
	int rc = level_open(w->s, w->path, &l, err);
	for (size_t i = 0; rc == 0 && i < l.n; i++)
		rc = list_layer(&list, l.fds[i], i, w->max, err);
	if (rc == 0 && list.n) {
		qsort(list.item, list.n, sizeof(struct item *), by_name);
		rc = visit(w, &l, &list, at, err);
	}
	level_fini(&l);
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		if (!list.item[i] || !list.item[i]->folder)
			continue;
		rc = append(w->path, list.item[i]->name, strlen(list.item[i]->name), err);
		if (rc == 0)
			rc = walk_folder(w, err);
		w->path[at] = '\0';
	}
	items_fini(&list);
	return rc;
}

int stack_walk(const struct stack *s, const char *path, uint64_t entries_max, stack_fn *each,
	       void *arg, struct err *err)
{
	struct walk w = { .s = s, .each = each, .arg = arg, .max = entries_max };
	if (strlen(path) >= sizeof(w.path))
		return err_set(err, ENAMETOOLONG, "the path is too long");
	strcpy(w.path, path);
	return walk_folder(&w, err);
}

/* ---- content ---- */

struct reading {
	size_t max;
	char *text;
	size_t size;
};

static int read_entry(void *arg, int dir_fd, const char *name, const char *path,
		      const struct stat *st, struct err *err)
{
	struct reading *r = arg;
	if (!S_ISREG(st->st_mode))
		return err_set(err, EINVAL, "%.200s is no regular file", path);
	return fd_read_file(dir_fd, name, r->max, &r->text, &r->size, err);
}

int stack_read(const struct stack *s, const char *path, size_t max, char **ret, size_t *ret_size,
	       struct err *err)
{
	struct stack_spot spot;
	struct reading r = { .max = max };
	int rc = stack_find(s, path, true, &spot, err);
	if (rc == 0 && spot.exists)
		rc = stack_entry(s, spot.path, read_entry, &r, err);
	if (rc < 0)
		return rc;
	*ret = r.text;
	if (ret_size)
		*ret_size = r.size;
	return 0;
}
