//go:build profile

package main

import (
	"net"
	"net/http"
	_ "net/http/pprof" // on the default mux, which only this serves
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// A build with the tag "profile" serves pprof at the socket <pid> in the directory
// that CPCTL_PROFILE names. test/bench/compare makes such builds; releases are none.
func init() {
	dir := os.Getenv("CPCTL_PROFILE")
	if dir == "" {
		return
	}
	runtime.SetBlockProfileRate(100_000) // ns: one event for each 0.1 ms that somebody waits
	runtime.SetMutexProfileFraction(100)
	l, err := net.Listen("unix", filepath.Join(dir, strconv.Itoa(os.Getpid())))
	if err != nil {
		panic(err) // only for who asked for it
	}
	go http.Serve(l, nil)
}
