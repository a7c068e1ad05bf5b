package plan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Text is what a lane does, a step a line, exactly and without secrets: two lanes with the same text do the same. The salt
// keeps secrets from being guessed by what stands for them.
func (l Lane) Text(salt string) []string {
	who := l.Ref.String()
	if l.Kind != ContainerKind {
		who = l.Subject().String()
	}
	out := []string{fmt.Sprintf("%s %s", l.Action, who)}
	for _, s := range l.Steps {
		timeless := withoutTime(s.Op)
		op, err := json.Marshal(withoutSecrets(timeless, salt))
		if err != nil { // an operation is made of texts and numbers
			op = []byte(err.Error())
		}
		as := who
		if s.Access.Root {
			as += " as root"
		}
		out = append(out, fmt.Sprintf("%s: %s %s", as, timeless.Verb(), op))
	}
	return out
}

// withoutTime is an operation without the time at which it was planned: a snapshot before a change has it in its name, and
// is the same one when the plan is made anew.
func withoutTime(op Op) Op {
	o, ok := op.(TakeSnapshot)
	if ok && len(o.Name) > len(spec.SnapshotStamp) {
		o.Name = o.Name[:len(o.Name)-len(spec.SnapshotStamp)] + "TIME"
		return o
	}
	return op
}

// withoutSecrets is an operation with a digest in place of the environment and of raw lines, which may hold secrets.
func withoutSecrets(op Op, salt string) Op {
	switch o := op.(type) {
	case CreateContainer:
		o.Values = digested(o.Values, salt)
		return o
	case SetConfig:
		o.Set = digested(o.Set, salt)
		return o
	case SetRaw:
		o.Lines = []string{digest(strings.Join(o.Lines, "\n"), salt)}
		return o
	case RestoreContainer:
		o.Values = digested(o.Values, salt)
		return o
	case RestoreOver:
		o.Values = digested(o.Values, salt)
		return o
	}
	return op
}

func digested(v proxmox.Values, salt string) proxmox.Values {
	text, ok := v[setting.Env.PVE]
	if !ok {
		return v
	}
	v = maps.Clone(v)
	v[setting.Env.PVE] = digest(text, salt)
	return v
}

func digest(text, salt string) string {
	h := hmac.New(sha256.New, []byte(salt))
	h.Write([]byte(text))
	return fmt.Sprintf("(digest %x)", h.Sum(nil)[:8])
}
