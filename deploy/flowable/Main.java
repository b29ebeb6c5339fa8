import org.flowable.common.engine.impl.identity.Authentication;
import org.flowable.spring.security.SpringSecurityAuthenticationContext;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.core.userdetails.UsernameNotFoundException;
import org.springframework.security.web.SecurityFilterChain;

/** Starts Flowable's REST API with HTTP Basic. Run by source launch, no build: java -cp "lib/*" Main.java */
@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
public class Main {

    public static void main(String[] args) {
        // start user and comment author stay null without this
        Authentication.setAuthenticationContext(new SpringSecurityAuthenticationContext());
        SpringApplication.run(Main.class, args);
    }

    @Bean
    SecurityFilterChain everyCallNeedsTheUser(HttpSecurity http) throws Exception {
        return http.authorizeHttpRequests(calls -> calls.anyRequest().authenticated())
                .httpBasic(Customizer.withDefaults())
                .csrf(csrf -> csrf.disable())
                .build();
    }

    /** Not an InMemoryUserDetailsManager: that would change the password to bcrypt at the first login, and every call cost a hash. */
    @Bean
    UserDetailsService theUser(
            @Value("${xconnector.user}") String user, @Value("${xconnector.password}") String password) {
        return name -> {
            if (!name.equals(user)) {
                throw new UsernameNotFoundException(name);
            }
            return User.withUsername(user).password("{noop}" + password).roles("USER").build();
        };
    }
}
