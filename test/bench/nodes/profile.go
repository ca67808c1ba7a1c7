package nodes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// ProfileTag builds a node that can be profiled.
const ProfileTag = "profile"

// Profile writes four profiles of the node over so long, one after another's name:
// FILE.cpu, FILE.allocs, FILE.block, FILE.mutex, as go tool pprof reads them. The
// cluster was built with ProfileTag.
func (n *Node) Profile(ctx context.Context, d time.Duration, file string) error {
	socket := filepath.Join(n.profiles, strconv.Itoa(n.cmd.Process.Pid))
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	failed := make(chan error, 4)
	for name, path := range map[string]string{"cpu": "profile", "allocs": "allocs", "block": "block", "mutex": "mutex"} {
		all.Go(func() {
			if err := save(ctx, client, fmt.Sprintf("http://node/debug/pprof/%s?seconds=%.0f", path, max(1, d.Seconds())), file+"."+name); err != nil {
				failed <- fmt.Errorf("profile %s of node %s: %w", name, n.Name, err)
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

func save(ctx context.Context, client *http.Client, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r, err := client.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", r.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r.Body)
	return err
}
