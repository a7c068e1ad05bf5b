package proxmox

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A scalarText is a JSON string, number or boolean as text: Proxmox sends the same field now as a string
// and now as a number, and booleans as 0 and 1.
type scalarText string

// UnmarshalJSON takes any scalar; null leaves the text empty.
func (t *scalarText) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || string(b) == "null":
		*t = ""
	case string(b) == "true":
		*t = "1"
	case string(b) == "false":
		*t = "0"
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = scalarText(s)
	case b[0] == '{' || b[0] == '[':
		return fmt.Errorf("%.40s is not a text or number", b)
	default:
		*t = scalarText(b)
	}
	return nil
}
