package kubeconfig

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// errArgsComment says that there is no place for a comment among new arguments.
var errArgsComment = errors.New("has a comment among its args that would be lost")

// args returns a user entry's list of arguments, nil where it is no list of its
// own.
func (fr *fragment) args() (s *source, k, list *yaml.Node, err error) {
	s, n, err := fr.parse()
	if err != nil {
		return nil, nil, nil, err
	}
	for _, key := range []string{"user", "exec", "args"} {
		if k, n = child(n, key); n == nil {
			return s, nil, nil, nil
		}
	}
	return s, k, n, nil
}

// argsComments returns the comments between a user's arguments. They are about
// words that a conversion replaces.
func (fr *fragment) argsComments() ([]string, error) {
	s, k, list, err := fr.args()
	if err != nil || list == nil {
		return nil, err
	}
	at, err := s.end(k)
	if err != nil {
		return nil, err
	}
	var comments []string
	collect := func(end int) {
		for i := at; i < end; i++ {
			if s.data[i] == '#' && isSpace(s.data[i-1]) {
				stop := s.lineEnd(i)
				comments = append(comments, string(s.data[i:stop]))
				i = stop
			}
		}
	}
	inBlock := list.Kind == yaml.SequenceNode && list.Style&yaml.FlowStyle == 0
	if inBlock {
		for _, item := range list.Content {
			collect(s.begin(item))
			if at, err = s.end(item); err != nil {
				return nil, err
			}
		}
		return comments, nil
	}
	end, err := s.end(list)
	if collect(end); err == nil && len(comments) > 0 {
		err = errArgsComment
	}
	return nil, err
}

// putArgsComments puts comments before a user's arguments, a line each.
func (fr *fragment) putArgsComments(comments []string) error {
	if len(comments) == 0 {
		return nil
	}
	s, _, list, err := fr.args()
	if err != nil {
		return err
	}
	if list == nil || list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 {
		return errArgsComment
	}
	begin := s.begin(list)
	start := s.lineStart(begin)
	lead := string(s.data[start:begin])
	if strings.Trim(lead, " ") != "" {
		return errArgsComment
	}
	var text strings.Builder
	for _, c := range comments {
		text.WriteString(lead + c + s.eol)
	}
	return fr.splice(s, start, start, text.String())
}
