package twinbeam.client;

/** No whole answer came; whether the server has taken a request is not known. */
public final class Unreachable extends TwinbeamException {
    private static final long serialVersionUID = 1L;

    Unreachable(String message, Throwable cause) {
        super(message, cause);
    }
}
