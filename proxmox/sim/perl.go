package sim

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// truthy is Perl's test of a text.
func truthy(s string) bool { return s != "" && s != "0" }

// splitList splits a list as Proxmox does (pve-common ParseUtils.pm, split_list): at NUL if there is one,
// else at commas, semicolons and white space.
func splitList(s string) []string {
	if strings.Contains(s, "\x00") {
		return dropTrailingEmpty(strings.Split(s, "\x00"))
	}
	return strings.FieldsFunc(s, func(r rune) bool {
		return r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' || r == '\v'
	})
}

// dropTrailingEmpty does what Perl's split does: empty fields at the end vanish.
func dropTrailingEmpty(parts []string) []string {
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

var (
	integerText = regexp.MustCompile(`^[+-]?[0-9]+\n?$`)
	numberText  = regexp.MustCompile(`^[+-]?([0-9]+\.[0-9]+|[0-9]+\.|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]+)?\n?$`)
	storedNum   = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	digitsText  = regexp.MustCompile(`^[0-9]+$`)
	newDiskText = regexp.MustCompile(`^([^:\s]+):([0-9]+(?:\.[0-9]+)?)$`)
	volidText   = regexp.MustCompile(`(?i)^([a-z][a-z0-9._-]*[a-z0-9]):((?s).+)$`)
	sizeText    = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([KMGT](?:iB)?)?$`)
)

// parseBoolean reads a boolean inside a property string (pve-common JSONSchema.pm, parse_boolean).
func parseBoolean(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true":
		return "1", true
	case "0", "off", "no", "false":
		return "0", true
	}
	return s, false
}

var sizeUnits = map[byte]float64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}

// parseSize reads a disk size in bytes (pve-common JSONSchema.pm, parse_size).
func parseSize(s string) (int64, bool) {
	m := sizeText.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	if m[2] != "" {
		n *= sizeUnits[m[2][0]]
	}
	if n > 1<<62 {
		return 0, false
	}
	return int64(n), true
}

// formatSize writes a size with the largest unit that divides it (pve-common JSONSchema.pm, format_size).
func formatSize(n int64) string {
	units := []string{"", "K", "M", "G", "T"}
	i := 0
	for i < len(units)-1 && n%1024 == 0 {
		n /= 1024
		i++
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// encodeText percent-encodes control characters, bytes above 0x7e, "%" and ":" (ParseUtils.pm, encode_text).
func encodeText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c < 0x20 || c > 0x7e || c == '%' || c == ':' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeText undoes encodeText; what is no valid escape stays as it is (ParseUtils.pm, decode_text).
func decodeText(s string) string {
	if !strings.Contains(s, "%") {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(unescape(s), "\uFFFD")
}

// unescape resolves %XX.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func runes(s string) int { return utf8.RuneCountInString(s) }

// shellQuote quotes a word for a log line as PVE::Tools::shellquote does.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:=/@%+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
