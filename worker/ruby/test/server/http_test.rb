# frozen_string_literal: true

require_relative "../server_helper"
require "socket"

# Calls over HTTP to a server of the test's own.
class HttpTest < ServerTest
  Request = Struct.new(:line, :headers, :body)

  class Charge
    include Tasker::Handler
    include Tasker::Api
    handler "http_charge"

    def call(ctx)
      answer = post("#{ctx.state}/charges", json: ctx.context, timeout: 5,
                                            allow_status: ctx.config["allow"] || [])
      { "status" => answer.status, "body" => answer.json, "key" => idempotency_key,
        "x" => answer.header("X-Served-By") }
    end
  end

  def setup
    super
    @requests = Queue.new
    @answers = Queue.new
    @server = TCPServer.new("127.0.0.1", 0)
    @thread = Thread.new { serve }
    @url = "http://127.0.0.1:#{@server.addr[1]}"
  end

  def teardown
    super
    @thread.kill
    @server.close
  end

  def serve
    loop do
      socket = @server.accept
      line = socket.gets
      headers = {}
      while (header = socket.gets.chomp) && !header.empty?
        name, value = header.split(": ", 2)
        headers[name.downcase] = value
      end
      @requests << Request.new(line, headers, socket.read(headers["content-length"].to_i))
      status, more, body = @answers.empty? ? [200, "", "{}"] : @answers.pop
      socket.write("HTTP/1.1 #{status} X\r\nContent-Length: #{body.bytesize}\r\n" \
                   "X-Served-By: test\r\n#{more}Connection: close\r\n\r\n#{body}")
      socket.close
    end
  end

  def test_a_request_carries_its_key_and_every_digit
    apply_one("http_charge")
    work(handlers: [Charge], state: @url)
    number = BigDecimal("0.1234567890123456789012345")
    @answers << [503, "Retry-After: 0\r\n", "busy"] << [201, "", "{\"n\":#{number.to_s('F')}}"]
    task = enqueue({ n: number }, traceparent: "00-#{'a' * 32}-#{'b' * 16}-01")
    expected = { "status" => 201, "body" => { "n" => number }, "key" => "#{task}:only",
                 "x" => "test" }
    assert_equal expected, result(task)["only"]
    requests = Array.new(2) { @requests.pop }
    assert_equal(%w[1 2], requests.map { |one| one.headers["tasker-attempt"] })
    requests.each do |one|
      assert_equal "POST /charges HTTP/1.1\r\n", one.line
      assert_equal "#{task}:only", one.headers["idempotency-key"]
      assert_includes one.headers["traceparent"], "a" * 32
      assert_equal({ "n" => number }, Tasker::ExactJson.parse(one.body))
    end
  end

  def test_refusals_are_judged
    apply_one("http_charge")
    work(handlers: [Charge], state: @url)
    @answers << [404, "", "no such card"]
    error = failure_of
    assert_equal "http_404", error["code"]
    assert_includes error["message"], "no such card"
    @answers << [200, "", "<html>"]
    assert_equal "invalid_response", failure_of["code"]
  end

  def test_other_requests
    apply_one("other")
    work do |worker|
      worker.handler("other") do |ctx|
        ctx.put(@url, body: "\xFF\x00".b, headers: { "Content-Type" => "image/x" },
                      idempotency_suffix: "b")
        ctx.get("#{@url}/there", allow_status: 404).status
      end
    end
    @answers << [200, "", ""] << [404, "", ""]
    task = enqueue
    assert_equal 404, result(task)["only"]
    put, get = Array.new(2) { @requests.pop }
    assert_equal ["\xFF\x00".b, "image/x", "#{task}:only:b"],
                 [put.body, *put.headers.values_at("content-type", "idempotency-key")]
    assert_equal "GET /there HTTP/1.1\r\n", get.line
  end
end
