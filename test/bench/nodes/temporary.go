package nodes

import (
	"os"
	"os/signal"
)

// Temporary makes a directory in dir ("": the system's) and removes it at the end, also
// of a run that is interrupted.
func Temporary(dir string) (base string, remove func(), err error) {
	base, err = os.MkdirTemp(dir, "cpctl-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(base) }
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt)
	go func() { <-stopped; remove(); os.Exit(130) }()
	return base, remove, nil
}
