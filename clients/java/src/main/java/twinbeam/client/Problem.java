package twinbeam.client;

import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/** The server's answer is an error: RFC 9457 problem details. */
public class Problem extends TwinbeamException {
    private static final long serialVersionUID = 1L;

    private final transient Details details;
    private final long retryAfter;

    private Problem(Details details, long retryAfter) {
        super(text(details), null);
        this.details = details;
        this.retryAfter = retryAfter;
    }

    /**
     * All that the server told; null, or empty, what it did not.
     *
     * @param type of the problem, an URN
     * @param title of the status
     * @param status HTTP status
     * @param detail what is wrong
     * @param where place in the request
     * @param hint the nearest legal value
     * @param instance id of the request
     * @param legal legal values
     * @param limit the most that is taken at once
     * @param begun false: nothing was done for the request
     * @param errors events that do not fit
     * @param events how many events are durable
     * @param lanes last offset in each lane that got some
     */
    public record Details(
            String type,
            String title,
            int status,
            String detail,
            String where,
            String hint,
            String instance,
            List<String> legal,
            Double limit,
            Boolean begun,
            List<Unfit> errors,
            Integer events,
            Map<String, Long> lanes) {
        /** Empty lists and maps for none. */
        public Details {
            legal = legal == null ? List.of() : List.copyOf(legal);
            errors = errors == null ? List.of() : List.copyOf(errors);
            lanes = lanes == null ? Map.of() : Map.copyOf(lanes);
        }
    }

    /**
     * An event that does not fit.
     *
     * @param row its place in the push
     * @param reason why
     */
    public record Unfit(int row, String reason) {}

    /** All that the server told. */
    public final Details details() {
        return details;
    }

    /** HTTP status. */
    public final int status() {
        return details.status();
    }

    /** Seconds after which to try again, if the server told. */
    public final OptionalLong retryAfter() {
        return retryAfter < 0 ? OptionalLong.empty() : OptionalLong.of(retryAfter);
    }

    /** 400: the request is not legal. */
    public static final class BadRequest extends Problem {
        private static final long serialVersionUID = 1L;

        private BadRequest(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 401: credentials are missing or not known. */
    public static final class Unauthorized extends Problem {
        private static final long serialVersionUID = 1L;

        private Unauthorized(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 404: there is no such thing that the caller may see. */
    public static final class NotFound extends Problem {
        private static final long serialVersionUID = 1L;

        private NotFound(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 409: definitions are others now than the caller's. */
    public static final class DefinitionChanged extends Problem {
        private static final long serialVersionUID = 1L;

        private DefinitionChanged(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 413: more is asked or sent than is taken at once. */
    public static final class TooLarge extends Problem {
        private static final long serialVersionUID = 1L;

        private TooLarge(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 422: events do not fit their source; nothing was sent. */
    public static final class UnfitEvents extends Problem {
        private static final long serialVersionUID = 1L;

        private UnfitEvents(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 503: more is asked than can be answered now, or a store does not answer. */
    public static final class Unavailable extends Problem {
        private static final long serialVersionUID = 1L;

        private Unavailable(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    /** 504: the events are durable but could not be read yet; do not send them again. */
    public static final class NotYetServed extends Problem {
        private static final long serialVersionUID = 1L;

        private NotYetServed(Details details, long retryAfter) {
            super(details, retryAfter);
        }
    }

    static Problem of(Details details, long retryAfter) {
        return switch (details.status()) {
            case 400 -> new BadRequest(details, retryAfter);
            case 401 -> new Unauthorized(details, retryAfter);
            case 404 -> new NotFound(details, retryAfter);
            case 409 -> new DefinitionChanged(details, retryAfter);
            case 413 -> new TooLarge(details, retryAfter);
            case 422 -> new UnfitEvents(details, retryAfter);
            case 503 -> new Unavailable(details, retryAfter);
            case 504 -> new NotYetServed(details, retryAfter);
            default -> new Problem(details, retryAfter);
        };
    }

    /** Details of an answer that has none of its own, as a proxy's. */
    static Details plain(int status) {
        String detail = "HTTP status " + status + ", without problem details";
        return new Details("about:blank", "", status, detail, null, null, null, null, null, null, null, null, null);
    }

    private static String text(Details details) {
        String where = details.where() == null ? "" : details.where() + ": ";
        return where + details.detail() + (details.hint() == null ? "" : " " + details.hint());
    }
}
