// Command cpctl is the control plane of a multi-tenant identity platform: the
// node that replicates it and the operator's verbs against it.
package main

import (
	"os"

	"github.com/cpctl/cpctl/cmd"
)

func main() { os.Exit(cmd.Main(cmd.System(), os.Args[1:])) }
