package cmd

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// version may be set by the linker for a release: -X
// github.com/cpctl/cpctl/cmd.version=v1.2.3.
var version string

// build is the JSON of `version`.
type build struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"` // version
	Version       string `json:"version"`
	Commit        string `json:"commit"`
	Go            string `json:"go"`
	Level         uint32 `json:"level"` // newest level of rules it knows
}

func thisBuild() build {
	b := build{FormatVersion: store.FormatVersion, Kind: "version", Version: version, Go: runtime.Version(), Level: mutation.Level}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

func versionText() string { return thisBuild().Version }

func newVersion(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: named(),
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			return env.show(b, "cpctl/"+b.Version, func() error {
				return env.pairs([]pair{{"version", b.Version}, {"commit", b.Commit}, {"go", b.Go}, {"level", b.Level}})
			})
		},
	}
}
