package twinbeam.client;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.cert.CertificateException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.function.Predicate;

/** Requests over one HttpClient, which keeps connections alive. */
record Transport(HttpClient http, String url, String key, int attempts, Duration backoff) {
    private static final long LONGEST_PAUSE = TimeUnit.SECONDS.toNanos(5);

    /** May be sent again: of what changes nothing, what was not answered, or what the server had no time or store for. */
    static final Predicate<TwinbeamException> IF_READ =
            error -> error instanceof Unreachable || error instanceof Problem.Unavailable;

    /** May be sent again: of what changes something, what the server says that it did nothing for. */
    static final Predicate<TwinbeamException> IF_PUSHED = error ->
            error instanceof Problem.Unavailable refused && Boolean.FALSE.equals(refused.details().begun());

    /** A request; {@code also} is a status beside those of success whose JSON is an answer. */
    record Call(String method, String path, byte[] body, String contentType, int also) {
        static Call get(String path) {
            return new Call("GET", path, null, null, 0);
        }
    }

    /** The end of a call with all its attempts. */
    record Deadline(long nanos, Duration given) {
        static Deadline in(Duration given) {
            return new Deadline(System.nanoTime() + given.toNanos(), given);
        }

        long left() {
            return nanos - System.nanoTime();
        }
    }

    /** Sends a request, again as long as that may be done after what went wrong. */
    CompletableFuture<JsonNode> send(Call call, Deadline deadline, Predicate<TwinbeamException> repeatable) {
        return send(call, deadline, repeatable, 1);
    }

    private CompletableFuture<JsonNode> send(
            Call call, Deadline deadline, Predicate<TwinbeamException> repeatable, int attempt) {
        return once(call, deadline)
                .handle((answer, thrown) -> {
                    if (thrown == null) {
                        return CompletableFuture.completedFuture(answer);
                    }
                    TwinbeamException error = told(thrown, deadline);
                    long pause = pause(error, attempt);
                    if (!repeatable.test(error) || attempt >= attempts || pause >= deadline.left()) {
                        return CompletableFuture.<JsonNode>failedFuture(error);
                    }
                    return CompletableFuture.runAsync(
                                    () -> {}, CompletableFuture.delayedExecutor(pause, TimeUnit.NANOSECONDS))
                            .thenCompose(nothing -> send(call, deadline, repeatable, attempt + 1));
                })
                .thenCompose(Function.identity());
    }

    private long pause(TwinbeamException error, int attempt) {
        long least = error instanceof Problem problem ? problem.retryAfter().orElse(0) : 0;
        long most = Math.min(LONGEST_PAUSE, backoff.toNanos() << Math.min(attempt - 1, 20));
        return TimeUnit.SECONDS.toNanos(least) + ThreadLocalRandom.current().nextLong(most);
    }

    private CompletableFuture<JsonNode> once(Call call, Deadline deadline) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + call.path())).header("accept", "application/json");
        if (key != null) {
            request.header("authorization", "Bearer " + key);
        }
        if (call.contentType() != null) {
            request.header("content-type", call.contentType());
        }
        request.method(call.method(), call.body() == null ? BodyPublishers.noBody() : BodyPublishers.ofByteArray(call.body()));
        CompletableFuture<HttpResponse<byte[]>> sent = http.sendAsync(request.build(), BodyHandlers.ofByteArray());
        // The timeout of HttpRequest ends with the headers; this one is of the body too.
        return sent.copy()
                .orTimeout(Math.max(deadline.left(), 1), TimeUnit.NANOSECONDS)
                .whenComplete((answer, error) -> sent.cancel(true))
                .thenApply(answer -> read(call, answer));
    }

    private JsonNode read(Call call, HttpResponse<byte[]> answer) {
        String kind = answer.headers().firstValue("content-type").orElse("");
        int status = answer.statusCode();
        boolean good = status / 100 == 2 || status == call.also();
        try {
            if (good && kind.startsWith("application/json")) {
                return Json.MAPPER.readTree(answer.body());
            }
            if (status / 100 == 2) {
                throw new TwinbeamException(url + call.path() + ": the answer is " + kind + ", not JSON", null);
            }
            boolean told = kind.startsWith("application/problem+json");
            long retry = answer.headers().firstValue("retry-after").filter(text -> text.matches("\\d{1,9}")).map(Long::valueOf).orElse(-1L);
            throw Problem.of(
                    told ? Json.MAPPER.readValue(answer.body(), Problem.Details.class) : Problem.plain(status), retry);
        } catch (IOException error) {
            throw new TwinbeamException(url + call.path() + ": the answer is no JSON: " + error.getMessage(), error);
        }
    }

    private TwinbeamException told(Throwable thrown, Deadline deadline) {
        Throwable error = thrown instanceof CompletionException ? thrown.getCause() : thrown;
        if (error instanceof TwinbeamException known) {
            return known;
        }
        if (error instanceof TimeoutException) {
            return new DeadlineExceeded("no answer within " + deadline.given().toMillis() + " ms");
        }
        return new Unreachable(url + " gave no whole answer: " + reason(error), error);
    }

    private static String reason(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof CertificateException) {
                return "its certificate is not trusted: " + cause.getMessage() + "; ca(file) names its authorities (PEM)";
            }
        }
        return error.toString();
    }
}
