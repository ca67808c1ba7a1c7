package cmd

import "github.com/cpctl/cpctl/pkg/rpc"

// dial is the client of real nodes.
func dial(o rpc.Options) Cluster { return rpc.NewClient(o) }
