package cmd

import (
	"errors"
	"os"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// readToken reads the token in a file that is nobody else's, or on stdin.
func (e *Env) readToken(path string) (pki.Token, error) {
	if path != "-" {
		st, err := os.Stat(path)
		if err != nil {
			return pki.Token{}, usagef("--token-file %s", fileReason(path, err))
		}
		if st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
			return pki.Token{}, store.Errorf(store.CodeRefused, "%s has mode %04o: others can read the token, and use it first", path, st.Mode().Perm()).
				WithHint("if nobody has: chmod 600 %s; else revoke it (cpctl token revoke) and make another", path)
		}
	}
	b, err := e.readFile(path, pki.MaxToken)
	if err != nil {
		return pki.Token{}, err
	}
	t, err := pki.ParseToken(b)
	clear(b)
	var refusal *store.Error
	if errors.As(err, &refusal) {
		name := path
		if path == "-" {
			name = "stdin"
		}
		return t, store.Errorf(refusal.Code, "%s: %s", name, refusal.Message).WithHint("%s", refusal.Hint)
	}
	return t, err
}
