# frozen_string_literal: true

module Tasker
  # Calls over HTTP that know of their step.
  #
  # Each request carries an `Idempotency-Key`, which is the same on every attempt, `Tasker-Attempt`,
  # and the task's `traceparent`. 5xx, 408, 425, 429, a timeout, and a lost connection raise a
  # RetryableError, after the server's Retry-After; any other 4xx and redirects a PermanentError.
  module Api
    include InStep

    # @param url [String] http or https
    # @param options [Hash] see #request
    # @return [Response]
    def get(url, **options) = request("GET", url, **options)

    # (see #get)
    def post(url, **options) = request("POST", url, **options)

    # (see #get)
    def put(url, **options) = request("PUT", url, **options)

    # (see #get)
    def delete(url, **options) = request("DELETE", url, **options)

    # @param method [String]
    # @param url [String] http or https
    # @param json a body of JSON
    # @param body [String] any other body, with its type in `headers`
    # @param headers [Hash{String => String}] also in place of those sent by themselves
    # @param timeout [Numeric] seconds for the whole call, within the step's own timeout
    # @param idempotency_suffix [String] tells several calls of one step apart
    # @param allow_status [Array<Integer>] statuses that are no failure
    # @param max_bytes [Integer] the largest body that is read; 1 MiB
    # @return [Response]
    # @raise [RetryableError, PermanentError] by the rules of the module
    def request(method, url, json: nil, body: nil, headers: {}, timeout: nil,
                idempotency_suffix: nil, allow_status: [], max_bytes: nil)
      asked = { method: method.to_s.upcase, url: url.to_s, allow_status: Array(allow_status),
                headers: headers.to_h { |name, value| [name.to_s, value.to_s] } }
      unless json.nil?
        asked[:json] = ExactJson::Raw.new(ExactJson.generate(json, "the request's body"))
      end
      asked[:body] = [body].pack("m0") if body
      asked[:timeout_ms] = Api.millis(timeout) if timeout
      asked[:idempotency_suffix] = idempotency_suffix.to_s if idempotency_suffix
      asked[:max_bytes] = max_bytes if max_bytes
      answer = tasker_context.ask("http", asked)
      Response.new(*answer.values_at("status", "headers", "body"), name: Api.name_of(asked))
    end

    # @api private
    def self.millis(timeout)
      fits = timeout.is_a?(Numeric) && timeout.positive? && timeout.finite?
      return (timeout * 1000).round if fits

      raise ArgumentError, "timeout: give seconds as a number, as 10 or 0.5"
    end

    # A request for messages, without what may hold a secret: user, query, and fragment.
    # @api private
    def self.name_of(asked)
      "#{asked[:method]} #{asked[:url][/\A[^?#]*/].sub(%r{\A(\w[\w+.-]*:)?//[^/]*@}, '\\1//')}"
    end

    # @return [String] "<task id>:<step>", after a checkpoint with a hash of it; for calls that are
    #   not made by this module, too
    def idempotency_key = tasker_context.idempotency_key

    # An answer that is no failure.
    class Response
      # @return [Integer]
      attr_reader :status
      # @return [Hash{String => String}] by names in lower case; of several, joined by commas
      attr_reader :headers
      # @return [String] bytes
      attr_reader :body

      # @api private
      def initialize(status, headers, body, name:)
        @name = name
        @status = status
        @headers = headers.group_by(&:first).transform_values { |all| all.map(&:last).join(", ") }
        @body = body.unpack1("m")
      end

      # @return [String, nil]
      def header(name) = headers[name.downcase]

      # @return [String] the body; bytes that are not UTF-8 are replaced
      def text = body.dup.force_encoding(Encoding::UTF_8).scrub

      # @param type see Tasker::Convert
      # @raise [PermanentError] `invalid_response`: it is no JSON, or does not fit
      def json(type = nil)
        Convert.to(ExactJson.parse(text.delete_prefix("\u{feff}")), type, "body")
      rescue JSON::ParserError
        raise PermanentError.new("#{@name}: body: it is no JSON", code: "invalid_response")
      rescue InvalidInput => error
        raise PermanentError.new("#{@name}: #{error.message}", code: "invalid_response")
      end

      # Never shows headers or body.
      def inspect = "#<#{self.class} #{status}>"
    end
  end
end
