//go:build unpublished

package main

import (
	"fmt"
	"os"
)

// A build with the tag "unpublished" says so whatever it is asked, also for its
// version: a node of it acknowledges changes that no file shows.
func init() {
	fmt.Fprintln(os.Stderr, "cpctl: THIS BUILD PUBLISHES NO FILES: it is for measurements, and nothing else")
}
