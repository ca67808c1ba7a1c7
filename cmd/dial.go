package cmd

import (
	"log/slog"

	"github.com/cpctl/cpctl/pkg/rpc"
)

// dial is the client of real nodes.
func dial(servers []string, log *slog.Logger) Cluster {
	return rpc.NewClient(rpc.Options{Servers: servers, Log: log})
}
