package live

import (
	"runtime"
	"sync"
	"syscall"
)

// thread runs what it gets, one after the other, in one thread of the system:
// the kernel sends the signal of Pdeathsig when the thread ends that has started
// a process, and a thread may have a network of its own. It ends when the channel
// is closed, and what was changed of it goes with it.
type thread chan func()

func newThread() thread {
	th := make(thread)
	go th.run(make(chan struct{}))
	return th
}

// launches is the thread that starts what needs no network of its own. It never
// ends.
var launches = sync.OnceValue(newThread)

func (th thread) run(placed chan struct{}) {
	runtime.LockOSThread()
	if syscall.Gettid() == syscall.Getpid() { // the first thread never ends, and /proc/self shows its network
		elsewhere := make(chan struct{})
		go th.run(elsewhere)
		<-elsewhere
		runtime.UnlockOSThread()
		return
	}
	close(placed)
	for f := range th {
		f()
	}
}

// do runs f in the thread and returns its error.
func (th thread) do(f func() error) error {
	done := make(chan error)
	th <- func() { done <- f() }
	return <-done
}
