package cmd

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// maxSecret bounds an imported secret, in bytes.
const maxSecret = 4 << 10

// secretFlags say where a client secret comes from and where it goes. A secret
// is never a flag's value: ps and the shell's history would show it.
type secretFlags struct{ in, out string }

func newSecretFlags(cmd *cobra.Command) *secretFlags {
	s := new(secretFlags)
	cmd.Flags().StringVar(&s.in, "secret-file", "", "import the secret from `FILE`; - is stdin, without echo on a terminal")
	cmd.Flags().StringVar(&s.out, "secret-out", "", "write the generated secret to `FILE`, mode 0600; - is stdout")
	cmd.MarkFlagsMutuallyExclusive("secret-file", "secret-out")
	return s
}

func (s *secretFlags) check(names int) error {
	if s == nil || names <= 1 {
		return nil
	}
	if s.in != "" || s.out != "" {
		return usagef("--secret-file and --secret-out go with one name, not %d", names)
	}
	return nil
}

// secretOut is where a generated secret goes; nil: with the answer.
type secretOut struct {
	file   *pending
	stdout bool
}

// prepare reads the secret to import, or opens the file for the generated one:
// before the write, since a secret that cannot be put down is lost.
func (s *secretFlags) prepare(e *Env, req *mutation.Request) (*secretOut, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.in != "":
		secret, err := e.readSecret(s.in)
		if err != nil {
			return nil, err
		}
		req.Secret = &secret
		return nil, nil
	case s.out == "-":
		return &secretOut{stdout: true}, nil
	case s.out == "" || req.DryRun:
		return nil, nil
	}
	f, err := begin(s.out)
	if err != nil {
		return nil, err
	}
	return &secretOut{file: f}, nil
}

func (o *secretOut) discard() {
	if o != nil {
		o.file.discard()
	}
}

// readSecret reads a secret from a file, without its one final newline.
func (e *Env) readSecret(path string) (string, error) {
	var b []byte
	var err error
	if path == "-" && e.InTerminal && e.ReadSecret != nil && !e.flags.noInput {
		fmt.Fprint(e.Err, "client secret: ")
		b, err = e.ReadSecret()
		fmt.Fprintln(e.Err)
	} else {
		b, err = e.readFile(path, maxSecret)
	}
	if err != nil {
		return "", err
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 {
		return "", usagef("the secret is empty")
	}
	return string(b), nil
}

// answeredSecret prints the answer of a write that may have made a secret, and
// puts the secret where it belongs.
func (e *Env) answeredSecret(ans *mutation.Answer, out *secretOut) error {
	if out == nil {
		if ans.Secret != "" && e.flags.output == formatName {
			e.note("%s: the secret was not shown; another is made by: cpctl client secret rotate %s", ans.Name, ans.Name)
		}
		return e.answered(ans)
	}
	if ans.Secret == "" {
		e.note("%s: no secret was generated", ans.Name)
		return e.answered(ans)
	}
	without := *ans
	without.Secret = ""
	if out.stdout {
		if e.flags.output == formatJSON || e.flags.output == formatYAML {
			return e.answered(ans) // in client_secret
		}
		e.note("%s %s", ans.Name, ans.Outcome)
		return e.line(ans.Secret)
	}
	_, err := fmt.Fprintln(out.file, ans.Secret)
	if err == nil {
		err = out.file.commit()
	}
	if shown := e.answered(&without); err == nil {
		return shown
	}
	return fmt.Errorf("%s %s, but its secret is lost: %w", ans.Name, ans.Outcome, err)
}
