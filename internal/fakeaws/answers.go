package fakeaws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// namespaces are the XML namespaces of the query services.
var namespaces = map[string]string{
	serviceSTS: "https://sts.amazonaws.com/doc/2011-06-15/",
	serviceIAM: "https://iam.amazonaws.com/doc/2010-05-08/",
	serviceEC2: "http://ec2.amazonaws.com/doc/2016-11-15/",
}

// timestamp is a time as AWS writes it: RFC 3339 in XML, seconds since 1970 in
// JSON.
type timestamp time.Time

func (t timestamp) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05Z")), nil
}

func (t timestamp) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, time.Time(t).Unix(), 10), nil
}

// preciseTime is a time with its milliseconds, as EKS gives those of access entries.
type preciseTime time.Time

func (t preciseTime) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(t).UnixMilli())/1000, 'f', 3, 64), nil
}

// wantsJSON reports whether the client asked a query service for JSON. STS and
// IAM answer XML unless Accept says otherwise.
func (c *call) wantsJSON() bool {
	for _, accept := range c.r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			mediaType, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
				return true
			}
		}
	}
	return false
}

type metadata struct {
	RequestID string `xml:"RequestId" json:"RequestId"`
}

// succeed answers 200 with a result in the shape of the service's protocol.
func (c *call) succeed(result any) {
	name := c.action.name()
	switch {
	case isREST(c.service):
		c.sendJSON(http.StatusOK, result)
	case c.service == serviceEC2:
		c.sendXML(http.StatusOK, name+"Response", append(object{{"requestId", c.requestID}}, result.(object)...).encodeMembers)
	case c.wantsJSON():
		c.sendJSON(http.StatusOK, map[string]any{name + "Response": map[string]any{
			name + "Result": result, "ResponseMetadata": metadata{c.requestID},
		}})
	case result == nil:
		c.sendXML(http.StatusOK, name+"Response", object{{"ResponseMetadata", metadata{c.requestID}}}.encodeMembers)
	default:
		c.sendXML(http.StatusOK, name+"Response", func(e *xml.Encoder) error {
			if err := e.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: name + "Result"}}); err != nil {
				return err
			}
			return e.EncodeElement(metadata{c.requestID}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}})
		})
	}
}

type errorBody struct {
	Type    string `xml:"Type" json:"Type"`
	Code    string `xml:"Code" json:"Code"`
	Message string `xml:"Message" json:"Message"`
}

// fail answers an error in the shape of the service's protocol.
func (c *call) fail(err *apiError) {
	err = err.forService(c.service)
	c.code = err.code
	body := errorBody{Type: "Sender", Code: err.code, Message: err.message}
	if err.status >= http.StatusInternalServerError {
		body.Type = "Receiver"
	}
	switch {
	case c.service == serviceOIDC:
		c.w.Header().Set("X-Amzn-Errortype", err.code)
		c.sendJSON(err.status, map[string]any{"error": oauthError(err.code), "error_description": err.message})
	case isREST(c.service):
		c.w.Header().Set("X-Amzn-Errortype", err.code)
		c.sendJSON(err.status, map[string]any{"message": err.message})
	case c.service == serviceEC2:
		c.sendXML(err.status, "Response", object{
			{"Errors", object{{"Error", object{{"Code", err.code}, {"Message", err.message}}}}}, {"RequestID", c.requestID},
		}.encodeMembers)
	case c.wantsJSON():
		c.sendJSON(err.status, map[string]any{"Error": body, "RequestId": c.requestID})
	default:
		c.sendXML(err.status, "ErrorResponse", func(e *xml.Encoder) error {
			if err := e.EncodeElement(body, xml.StartElement{Name: xml.Name{Local: "Error"}}); err != nil {
				return err
			}
			return e.EncodeElement(c.requestID, xml.StartElement{Name: xml.Name{Local: "RequestId"}})
		})
	}
}

func (c *call) sendJSON(status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		c.send(http.StatusInternalServerError, "text/plain", []byte(err.Error()))
		return
	}
	c.send(status, "application/json", encoded)
}

// sendXML writes a document with one element around what inner encodes.
func (c *call) sendXML(status int, element string, inner func(*xml.Encoder) error) {
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	start := xml.StartElement{
		Name: xml.Name{Local: element},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespaces[c.service]}},
	}
	err := e.EncodeToken(start)
	if err == nil {
		err = inner(e)
	}
	if err == nil {
		err = e.EncodeToken(start.End())
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		c.send(http.StatusInternalServerError, "text/plain", []byte(err.Error()))
		return
	}
	b.WriteByte('\n')
	c.send(status, "text/xml", b.Bytes())
}

func (c *call) send(status int, contentType string, body []byte) {
	c.status = status
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amzn-Requestid", c.requestID)
	// Clients measure their own clock's skew by this header.
	h.Set("Date", c.at.Format(http.TimeFormat))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a client that went away has no use for an error
}
