package privileged

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/felhom/tend/proxmox"
)

// Version is that of the form in which requests are sent: [Marshal] writes it, and [Unmarshal] takes no other.
const Version = 1

// MaxSize is the size in bytes that an encoded request may have: room for the largest snippet.
const MaxSize = 1 << 20

// A Request is one thing that is to be done as root. The set is closed: [Create], [SetConfig], [SetRaw], [Mount],
// [Unlock], [PutSnippet], [ReadHealth], [ReadMounts], [ReadSnippets], [Lead], [KeepLead] and [Exec].
type Request interface {
	// Row is the exception that the request belongs to.
	Row() Row
	// Target is where it is to be done: a node, and the container if it is about one (else the VMID is 0). Requests
	// for the same container are carried out one after another.
	Target() proxmox.Ref
	// Validate says everything that is wrong with the request by itself, without a look at the node.
	Validate() error
	// String says in a few words what is to be done; it holds no secret.
	String() string

	kind() string
}

// A Result is what came of a request that was carried out.
type Result struct {
	Task    proxmox.UPID `json:"task,omitzero"`     // the task that Proxmox ran, where it did
	Changed bool         `json:"changed,omitempty"` // false where nothing was to be done
	Exit    int          `json:"exit,omitempty"`    // of [Exec]: the exit status of the command
	Output  []byte       `json:"output,omitempty"`  // what [Exec] and [ReadHealth] printed, and what was read, cut off at [MaxOutput]
	Errors  []byte       `json:"errors,omitempty"`  // what [Exec] printed as errors, cut off likewise
	Notes   []string     `json:"notes,omitempty"`   // warnings of Proxmox that a person should see
}

// MaxOutput is how much of a command's output is kept, in bytes, of each of its two streams.
const MaxOutput = 1 << 20

// kinds makes an empty request of each kind, to be decoded into.
var kinds = map[string]func() Request{
	Create{}.kind():       func() Request { return new(Create) },
	SetConfig{}.kind():    func() Request { return new(SetConfig) },
	SetRaw{}.kind():       func() Request { return new(SetRaw) },
	Mount{}.kind():        func() Request { return new(Mount) },
	Unlock{}.kind():       func() Request { return new(Unlock) },
	PutSnippet{}.kind():   func() Request { return new(PutSnippet) },
	ReadHealth{}.kind():   func() Request { return new(ReadHealth) },
	ReadMounts{}.kind():   func() Request { return new(ReadMounts) },
	ReadSnippets{}.kind(): func() Request { return new(ReadSnippets) },
	Lead{}.kind():         func() Request { return new(Lead) },
	KeepLead{}.kind():     func() Request { return new(KeepLead) },
	Exec{}.kind():         func() Request { return new(Exec) },
}

type envelope struct {
	Version int             `json:"version"`
	Kind    string          `json:"kind"`
	Request json.RawMessage `json:"request"`
}

// Marshal encodes a request for the socket. The text holds its secrets: it is for the socket and for nothing else.
func Marshal(r Request) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return json.Marshal(envelope{Version: Version, Kind: r.kind(), Request: body})
}

// ErrMalformed is the error of a text that is no request: too long, no JSON, of another version, of an unknown kind,
// or with a field that its kind does not have.
var ErrMalformed = errors.New("malformed request")

// ErrUnknown is the error of a request of a version or kind that is not known. It matches [ErrMalformed].
var ErrUnknown = fmt.Errorf("%w: unknown", ErrMalformed)

// Unmarshal reads what Marshal writes, and takes no word that it does not know. The request still is to be validated.
// Its errors match [ErrMalformed] and quote nothing of the text.
func Unmarshal(data []byte) (Request, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, MaxSize)
	}
	var e envelope
	if err := Decode(data, &e); err != nil {
		return nil, fmt.Errorf("%w: it is not an envelope of version, kind and request", ErrMalformed)
	}
	if e.Version != Version {
		return nil, fmt.Errorf("%w: it is of version %d, and only %d is known: caller and helper are not of the same tend", ErrUnknown, e.Version, Version)
	}
	make, ok := kinds[e.Kind]
	if !ok {
		return nil, fmt.Errorf("%w: %.40q is no kind of request", ErrUnknown, e.Kind)
	}
	r := make()
	if err := Decode(e.Request, r); err != nil {
		return nil, fmt.Errorf("%w: it is not a request of the kind %s", ErrMalformed, e.Kind)
	}
	return value(r), nil
}

// value takes the pointer off a decoded request: requests are compared and switched over as values.
func value(r Request) Request {
	switch r := r.(type) {
	case *Create:
		return *r
	case *SetConfig:
		return *r
	case *SetRaw:
		return *r
	case *Mount:
		return *r
	case *Unlock:
		return *r
	case *PutSnippet:
		return *r
	case *ReadHealth:
		return *r
	case *ReadMounts:
		return *r
	case *ReadSnippets:
		return *r
	case *Lead:
		return *r
	case *KeepLead:
		return *r
	case *Exec:
		return *r
	}
	return r
}

// Decode reads one JSON value with no unknown field and nothing after it: what comes over the socket is this or nothing.
func Decode(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after it")
	}
	return nil
}
