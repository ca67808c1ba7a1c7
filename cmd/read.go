package cmd

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
)

// readFlags are on every command that reads the state.
type readFlags struct{ rpc.ReadOptions }

func newReadFlags(cmd *cobra.Command) *readFlags {
	r := new(readFlags)
	cmd.Flags().BoolVar(&r.Stale, "stale", false, "what this node has now, with or without a leader")
	cmd.Flags().Var(count{&r.MinIndex}, "min-index", "wait until the node has applied log index `N`")
	return r
}

// age notes how old a stale answer may be.
func (e *Env) age(r *readFlags, info rpc.ReadInfo) {
	if !r.Stale {
		return
	}
	who := info.Node
	if who == "" {
		who = "the node"
	}
	if info.AgeMS < 0 {
		e.note("stale: index %d; %s has not heard of a leader since it started", info.Index, who)
		return
	}
	e.note("stale: index %d; %s last heard of a leader %s ago", info.Index, who,
		time.Duration(info.AgeMS)*time.Millisecond)
}
