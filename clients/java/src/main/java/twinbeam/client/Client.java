package twinbeam.client;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import twinbeam.client.Transport.Call;
import twinbeam.client.Transport.Deadline;

/** A feature server: reads, pushes, the registry. Safe for many threads, who best share one. */
public final class Client {
    private final Transport transport;
    private final Duration deadline;
    private final int chunk;

    private Client(Transport transport, Duration deadline, int chunk) {
        this.transport = transport;
        this.deadline = deadline;
        this.chunk = chunk;
    }

    /** Client of a server, as in {@code http://127.0.0.1:6570}. */
    public static Client of(String url) {
        return builder(url).build();
    }

    /** Settings of a client of a server. */
    public static Builder builder(String url) {
        return new Builder(url);
    }

    /** Settings of a client. */
    public static final class Builder {
        private final String url;
        private String key;
        private Duration deadline = Duration.ofSeconds(30);
        private int attempts = 4;
        private Duration backoff = Duration.ofMillis(100);
        private int chunk = 5_000;
        private Path ca;
        private HttpClient http;

        private Builder(String url) {
            this.url = URI.create(url).toString().replaceFirst("/+$", "");
        }

        /** Key or token, sent as Authorization: Bearer. */
        public Builder key(String secret) {
            key = secret;
            return this;
        }

        /** What a call may take, with all its attempts; 30 s if it is not told. */
        public Builder deadline(Duration most) {
            deadline = most;
            return this;
        }

        /**
         * How often a read is sent at most; 4 if it is not told. A push is sent again only where the server says that it
         * has done nothing for it.
         */
        public Builder attempts(int most) {
            attempts = most;
            return this;
        }

        /** Before the second attempt at most, and twice that before each further one; 100 ms if it is not told. */
        public Builder backoff(Duration most) {
            backoff = most;
            return this;
        }

        /** Rows of one request; a read of more is sent as several, one after the other. 5,000 if it is not told. */
        public Builder chunk(int rows) {
            chunk = rows;
            return this;
        }

        /** File of the certificate authorities (PEM) who are trusted; the platform's if it is not told. */
        public Builder ca(Path file) {
            ca = file;
            return this;
        }

        /** Another HTTP client, as one with a certificate of its own. */
        public Builder http(HttpClient own) {
            http = own;
            return this;
        }

        /** The client. */
        public Client build() {
            if (attempts < 1 || chunk < 1 || !positive(deadline) || !positive(backoff)) {
                throw new IllegalArgumentException("deadline, attempts, backoff and chunk are to be above 0");
            }
            if (http != null && ca != null) {
                throw new IllegalArgumentException("ca and http: give one of them");
            }
            HttpClient found = http != null ? http : plain();
            return new Client(new Transport(found, url, key, attempts, backoff), deadline, chunk);
        }

        private HttpClient plain() {
            HttpClient.Builder builder = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1);
            return (ca == null ? builder : builder.sslContext(Authorities.of(ca))).build();
        }

        private static boolean positive(Duration duration) {
            return !duration.isZero() && !duration.isNegative();
        }
    }

    /** This client, over the same connections, with another deadline. */
    public Client within(Duration most) {
        return new Client(transport, most, chunk);
    }

    /** Features of entities. */
    public Features get(Read read) {
        return await(getAsync(read));
    }

    /** Features of entities, later. */
    public CompletableFuture<Features> getAsync(Read read) {
        Deadline end = Deadline.in(deadline);
        CompletableFuture<List<Answer>> answers = CompletableFuture.completedFuture(new ArrayList<>());
        for (Read part : read.chunks(chunk)) {
            answers = answers.thenCompose(before -> {
                // Later parts are of the same definitions as the first, or refused.
                String fingerprint = before.isEmpty() ? part.fingerprint() : before.get(0).fingerprint();
                byte[] body = Json.write(Question.of(part, fingerprint));
                Call call = new Call("POST", "/v1/features", body, "application/json", 0);
                return transport.send(call, end, Transport.IF_READ).thenApply(found -> {
                    before.add(as(Answer.class, found));
                    return before;
                });
            });
        }
        return answers.thenApply(Features::of);
    }

    /**
     * Pushes events of a source: durable in its topic when this returns. All fit, or none is sent. After
     * {@link Unreachable} and {@link DeadlineExceeded} it is not known whether they are; they are not sent a second time.
     */
    public Pushed push(String source, List<? extends Map<String, ?>> events) {
        return push(source, events, "");
    }

    /** Pushes events and waits until they can be read, else {@link Problem.NotYetServed}. */
    public Pushed push(String source, List<? extends Map<String, ?>> events, Duration wait) {
        return push(source, events, "?wait=served&timeout=" + wait.toMillis() / 1e3);
    }

    private Pushed push(String source, List<? extends Map<String, ?>> events, String query) {
        byte[] body = Json.lines(events).getBytes(StandardCharsets.UTF_8);
        Call call = new Call("POST", "/v1/push/" + encoded(source) + query, body, "application/x-ndjson", 0);
        return as(Pushed.class, await(transport.send(call, Deadline.in(deadline), Transport.IF_PUSHED)));
    }

    /** Features of the registry. */
    public Found search(Search search) {
        StringBuilder query = new StringBuilder("/v1/registry/search?q=").append(encoded(search.words()));
        add(query, "entity", search.entity());
        add(query, "owner", search.owner());
        add(query, "tag", search.tag());
        add(query, "limit", search.limit());
        return read(Found.class, query.toString());
    }

    /** One feature of the registry with its lineage, by its address. */
    public Feature feature(String address) {
        return read(Feature.class, "/v1/registry/features/" + encoded(address));
    }

    /** Whether the server can answer, and if not, why. */
    public Readiness ready() {
        Call call = new Call("GET", "/readyz", null, null, 503);
        return as(Readiness.class, await(transport.send(call, Deadline.in(deadline), error -> false)));
    }

    private <T> T read(Class<T> kind, String path) {
        return as(kind, await(transport.send(Call.get(path), Deadline.in(deadline), Transport.IF_READ)));
    }

    private static <T> T as(Class<T> kind, JsonNode node) {
        try {
            return Json.MAPPER.treeToValue(node, kind);
        } catch (JsonProcessingException error) {
            throw new TwinbeamException("the answer is none that this client knows: " + error.getOriginalMessage(), error);
        }
    }

    private static <T> T await(CompletableFuture<T> future) {
        try {
            return future.get();
        } catch (ExecutionException error) {
            if (error.getCause() instanceof RuntimeException told) {
                throw told;
            }
            throw new TwinbeamException(String.valueOf(error.getCause()), error.getCause());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            CancellationException cancelled = new CancellationException("interrupted while waiting for an answer");
            cancelled.initCause(error);
            throw cancelled;
        }
    }

    private static void add(StringBuilder query, String name, Object value) {
        if (value != null) {
            query.append('&').append(name).append('=').append(encoded(value.toString()));
        }
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
