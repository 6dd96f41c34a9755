package fakeaws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// object is a structure of an answer, its members in order: XML elements for the
// query protocols, a JSON object otherwise.
type object []member

type member struct {
	name  string
	value any
}

// members is a list as the query protocol writes it, items as EC2 does.
type (
	members []any
	items   []any
)

func (o object) encodeMembers(e *xml.Encoder) error {
	for _, m := range o {
		if err := e.EncodeElement(m.value, xml.StartElement{Name: xml.Name{Local: m.name}}); err != nil {
			return err
		}
	}
	return nil
}

// MarshalXML writes the members as elements.
func (o object) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if err := o.encodeMembers(e); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.WriteString(strconv.Quote(m.name))
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// MarshalXML writes each element as <member>; an empty list is an empty element.
func (l members) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	return encodeList(e, start, "member", l)
}

// MarshalXML writes each element as <item>.
func (l items) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	return encodeList(e, start, "item", l)
}

func encodeList(e *xml.Encoder, start xml.StartElement, name string, list []any) error {
	var o object
	for _, v := range list {
		o = append(o, member{name, v})
	}
	return o.MarshalXML(e, start)
}

// listParams reads a list of the query protocol: prefix.1, prefix.2, and so on.
func (c *call) listParams(prefix string) []string {
	var values []string
	for {
		value, ok := c.params[prefix+"."+strconv.Itoa(len(values)+1)]
		if !ok {
			return values
		}
		values = append(values, value)
	}
}

// tokenPrefix tells a page token of ours from other base64.
const tokenPrefix = "after:"

// page cuts one page from sorted names: what follows the request's page token, at
// most as many names as the request asks for, and usual names where it asks for no
// number. Next is the token of the page after it, and empty on the last one. Refusal
// says what is wrong with the request, and is empty if nothing is.
func (c *call) page(names []string, limitParam, tokenParam string, least, usual, most int) (page []string, next, refusal string) {
	limit := usual
	if text, ok := c.params[limitParam]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return nil, "", fmt.Sprintf("%s needs to be between %d and %d.", limitParam, least, most)
		}
		limit = n
	}
	first := 0
	if token := c.params[tokenParam]; token != "" {
		decoded, err := base64.RawURLEncoding.DecodeString(token)
		after, ok := strings.CutPrefix(string(decoded), tokenPrefix)
		if err != nil || !ok {
			return nil, "", "Invalid " + tokenParam + "."
		}
		var found bool
		if first, found = slices.BinarySearch(names, after); found {
			first++
		}
	}
	page = names[first:]
	if len(page) > limit {
		page = page[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + page[limit-1]))
	}
	return page, next, ""
}
