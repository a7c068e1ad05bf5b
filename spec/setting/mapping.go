package setting

import "fmt"

// Mapping is the type of a mapping from names to objects, such as the containers of a spec. It has no text
// on Proxmox's side.
func Mapping(name Type[string], o Object) Type[Members] {
	fam := Family{Identity: Key[string]{Type: name, Doc: name.Name}, Member: o}
	schema := fam.Schema()
	delete(schema, "description") // the key has one
	return Type[Members]{
		Name: "mapping from the " + name.Name,
		Decode: func(in any, at Path, report Report) (Members, bool) {
			m, ok := in.(map[string]any)
			if !ok {
				report(at, fmt.Errorf("%s is not a mapping from the %s to its settings", kindOf(in), name.Name))
				return nil, false
			}
			return decodeMembers(m, name, o, at, report)
		},
		Encode: func(m Members) any { return fam.EncodeSpec(m) },
		Text:   func(m Members) string { return fmt.Sprint(len(m)) },
		Equal:  func(a, b Members) bool { return fam.Equal(a, b) },
		Schema: schema,
		Rows:   o.Rows,
		Groups: o.Groups,
	}
}
