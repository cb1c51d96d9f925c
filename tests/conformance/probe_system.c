/* SPDX-License-Identifier: Apache-2.0 */
/* probe_system - what a process is and may do. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Calls that a container may not have, with arguments that do no harm. */
static void calls(void)
{
	struct timespec now = { 1, 0 };
	say("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
	say("umount", umount2("/proc", MNT_DETACH));
	say("pivot_root", syscall(SYS_pivot_root, ".", "."));
	say("unshare user", unshare(CLONE_NEWUSER));
	say("unshare mounts", unshare(CLONE_NEWNS));
	say("setns", setns(open("/proc/1/ns/mnt", O_RDONLY), 0));
	say("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("init_module", syscall(SYS_init_module, NULL, 0, ""));
	say("delete_module", syscall(SYS_delete_module, "none", 0));
	say("swapon", syscall(SYS_swapon, "/none", 0));
	say("clock_settime", clock_settime(CLOCK_REALTIME, &now));
	say("bpf", syscall(SYS_bpf, 0, NULL, 0));
	say("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
	say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
	say("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
	say("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	say("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 0));
	say("acct", syscall(SYS_acct, NULL));
	say("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
	say("syslog", syscall(SYS_syslog, 3, NULL, 0));
	say("sethostname", sethostname("x", 1));
	say("iopl", syscall(SYS_iopl, 3));
	say("chroot", chroot("/"));
	say("personality", syscall(SYS_personality, 0xffffffff));
	say("nonsense", syscall(1000));
}

static void own_trace(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	say("attach", ptrace(PTRACE_SEIZE, pid, 0, 0));
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void terminal(void)
{
	struct winsize size = { 0 };
	printf("tty %d %d %d\n", isatty(0), isatty(1), isatty(2));
	if (!isatty(0))
		return;
	(void)ioctl(0, TIOCGWINSZ, &size);
	printf("leader %d, foreground %d\n", getsid(0) == getpid(), tcgetpgrp(0) == getpgrp());
	say("controlling", open("/dev/tty", O_RDWR));
	printf("name %s\n", ttyname(0) ? ttyname(0) : "none");
}

static void signals(void)
{
	sigset_t blocked;
	int ignored = 0, n = 0;
	must(sigprocmask(SIG_BLOCK, NULL, &blocked), "sigprocmask");
	for (int s = 1; s < 65; s++) {
		struct sigaction a;
		n += sigismember(&blocked, s) > 0;
		ignored += sigaction(s, NULL, &a) == 0 && a.sa_handler == SIG_IGN;
	}
	printf("%d blocked, %d ignored\n", n, ignored);
}

static void ipc(void)
{
	int id = shmget(IPC_PRIVATE, 65536, 0600);
	say("shared memory", id);
	void *at = shmat(id, NULL, 0);
	printf("attached %d\n", at != (void *)-1);
	say("removed", shmctl(id, IPC_RMID, NULL));
	id = semget(IPC_PRIVATE, 1, 0600);
	say("semaphore", id);
	say("removed", semctl(id, 0, IPC_RMID));
	id = msgget(IPC_PRIVATE, 0600);
	say("queue", id);
	say("removed", msgctl(id, IPC_RMID, NULL));
	mqd_t q = mq_open("/probe", O_CREAT | O_RDWR, 0600, NULL);
	say("posix queue", q);
	say("sent", mq_send(q, "x", 1, 0));
	say("unlinked", mq_unlink("/probe"));
	say("posix memory", shm_open("/probe", O_CREAT | O_RDWR, 0600));
	say("unlinked", shm_unlink("/probe"));
}

/* A child whose parent is gone belongs to the first process of the namespace. */
static void orphan(void)
{
	int p[2];
	pid_t parent = 0;
	must(pipe(p), "pipe");
	if (fork() == 0) {
		pid_t middle = getpid();
		if (fork() == 0) {
			while (getppid() == middle)
				(void)usleep(1000);
			parent = getppid();
			_exit(write(p[1], &parent, sizeof(parent)) < 0);
		}
		_exit(0);
	}
	must(read(p[0], &parent, sizeof(parent)), "read");
	printf("parent %d\n", (int)parent);
}

static void files_open(void)
{
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d\n", fd);
}

static void memfds(void)
{
	int fd = memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	say("memfd", fd);
	must(ftruncate(fd, 4096), "ftruncate");
	say("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	say("write", write(fd, "x", 1));
}

static void inet(void)
{
	say("tcp", socket(AF_INET, SOCK_STREAM, 0));
	say("tcp6", socket(AF_INET6, SOCK_STREAM, 0));
	say("raw", socket(AF_INET, SOCK_RAW, 1));
	say("packet", socket(AF_PACKET, SOCK_RAW, 0));
	say("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
	say("alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
	say("bluetooth", socket(AF_BLUETOOTH, SOCK_RAW, 0));
}

static void privileges(void)
{
	struct stat st;
	char name[16] = "";
	printf("ids %u %u %u %u\n", getuid(), geteuid(), getgid(), getegid());
	printf("no new %d, dumpable %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
	       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	printf("securebits %d, keepcaps %d\n", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0),
	       prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
	printf("death signal %d\n", prctl(PR_GET_PDEATHSIG, &(int){ 0 }, 0, 0, 0));
	(void)prctl(PR_GET_NAME, name, 0, 0, 0);
	printf("name %s\n", name);
	printf("priority %d, scheduler %d\n", (int)syscall(SYS_getpriority, 0, 0) - 20,
	       sched_getscheduler(0));
	say("own memory", stat("/proc/self/mem", &st));
	(void)umask(0);
}

/* A fault that no handler and no rule of process 1's keeps off. */
static void crash(void)
{
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*page = 1;
}

/* Takes memory until it is killed; a child does, so that its parent can tell. */
static void eat(void)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		for (;;) {
			char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (p == MAP_FAILED)
				_exit(1);
			memset(p, 1, 1 << 20);
		}
	}
	(void)waitpid(pid, &status, 0);
	printf("signal %d\n", WTERMSIG(status));
}

/* As many processes as it gets, up to 200. */
static void breed(void)
{
	int n = 0;
	pid_t pids[200];
	while (n < 200 && (pids[n] = fork()) > 0)
		n++;
	if (n < 200 && pids[n] == 0) {
		(void)pause();
		_exit(0);
	}
	printf("stopped %d, %s\n", n < 200, n < 200 ? strerrorname_np(errno) : "ok");
	for (int i = 0; i < n; i++)
		(void)kill(pids[i], SIGKILL);
}

const struct probe system_probes[] = {
	{ "calls", calls },           { "trace", own_trace }, { "terminal", terminal },
	{ "signals", signals },       { "ipc", ipc },         { "orphan", orphan },
	{ "fds", files_open },        { "memfd", memfds },    { "inet", inet },
	{ "privileges", privileges }, { "crash", crash },     { "eat", eat },
	{ "breed", breed },           { NULL, NULL },
};
