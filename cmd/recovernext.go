package cmd

import (
	"fmt"

	"github.com/cpctl/cpctl/pkg/node"
)

// keyless is a directory that lacks nothing but the key that opens it, nil if none does.
func keyless(all []*node.Survivor) *node.Survivor {
	for _, s := range all {
		if s.Image != nil && s.Sealed != "" && s.Drift == nil && s.Gone == "" && s.Begun == 0 {
			return s
		}
	}
	return nil
}

// keyHint says how such a directory becomes whole.
func keyHint(s *node.Survivor) string {
	return fmt.Sprintf("nothing is damaged in %s but its cluster key: put your copy of cluster.key back into it first, or that of another\nmember, which is the same; then run this again", s.Dir)
}

// startAgain is the command that starts the node where it was.
func startAgain(s *node.Survivor) string {
	command := "cpctl node --data-dir " + shellWord(s.Dir)
	if s.Listen != "" {
		command += " --listen " + shellWord(s.Listen)
	}
	if s.Address != s.Listen {
		command += " --advertise " + shellWord(s.Address)
	}
	return command
}

// nextOf is the commands to run after looking at the plan.
func nextOf(o *node.Outlook) (commands []string) {
	commands = []string{}
	switch {
	case o.Best.Begun != 0:
		return []string{"cpctl recover run --dir " + shellWord(o.Best.Dir)}
	case o.Later() != nil:
		return commands
	case o.Majority, len(o.Answers) > 0:
		for _, s := range o.All {
			if s.Starts() && !running(o, s) {
				commands = append(commands, startAgain(s))
			}
		}
		return commands
	}
	command := "cpctl recover run" + dirFlags(o.All)
	switch {
	case o.Chosen != nil:
		command += " --node " + o.Chosen.Name
	case len(o.Differ) > 0:
		command += " --node NAME" // nobody but the operator can know which
	case o.Costs():
		command += " --node " + o.Best.Name
	}
	return []string{command}
}
