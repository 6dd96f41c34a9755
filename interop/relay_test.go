package main

import (
	"bufio"
	"net"
	"testing"
	"time"
)

func TestRelay(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(line))
				}
			}()
		}
	}()
	r, err := startRelay(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", r.address())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
			t.Fatalf("%q, %v", line, err)
		}
		return c
	}
	first := dial()
	defer first.Close()
	r.cut()
	if n, err := first.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came after the cut", n)
	}
	dial().Close()
	r.close()
	if c, err := net.Dial("tcp", r.address()); err == nil {
		c.Close()
		t.Error("a closed relay took a connection")
	}
}
