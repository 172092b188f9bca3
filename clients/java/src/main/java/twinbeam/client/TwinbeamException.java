package twinbeam.client;

/** Base of all errors of this client. */
public class TwinbeamException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    TwinbeamException(String message, Throwable cause) {
        super(message, cause);
    }
}
